//! Pictures of the traffic that are kept for a while, so that a page of it comes at once.
//!
//! - A picture older than [`FRESH`] is still shown, with its time, while a new one is made behind it; one older than
//!   [`STALE`] is not.
//! - The first picture of its sort goes back as far as [`QUICK`] allows, and says so; the whole is made behind it.
//! - At most [`MOST`] pictures are kept. A picture is made at most once at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_event::Timestamp;
use meshtrail_query::flows::{Ask, Grain, conversations};

use super::talks::{Talk, talks};
use crate::api::events::unreadable;
use crate::problem::Problem;
use crate::state::AppState;

/// How old a picture may be before another is made.
const FRESH: Duration = Duration::from_secs(15);

/// How old a picture may be to be shown at all.
const STALE: Duration = Duration::from_secs(600);

/// The most pictures that are kept.
const MOST: usize = 12;

/// How long a reader waits for the first picture; what was not counted by then is counted behind it.
const QUICK: Duration = Duration::from_millis(120);

/// How long counting behind a picture may take.
const PATIENT: Duration = Duration::from_secs(60);

/// The most pairs of a picture.
const PAIRS: usize = 50_000;

/// What a picture is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// How far back, in hours.
    pub(crate) hours: u64,
    /// One layer, or all where it is empty.
    pub(crate) layer: String,
}

/// Who talked to whom, as of a moment.
pub(crate) struct Picture {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// From when on everything was counted, where that is later than `since`.
    pub(crate) whole_from: Option<Timestamp>,
    /// Pairs with less traffic than any that is told.
    pub(crate) left_out: usize,
    pub(crate) talks: Vec<Talk>,
}

/// The pictures that are kept.
#[derive(Default)]
pub struct Kept {
    // Never held across an await.
    pictures: Mutex<HashMap<Asked, Slot>>,
}

#[derive(Default)]
struct Slot {
    picture: Option<Arc<Picture>>,
    /// Whether a new one is being made behind it.
    making: bool,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, HashMap<Asked, Slot>> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept picture, and whether the caller is to make the next.
    fn find(&self, asked: &Asked, now: Timestamp) -> (Option<Arc<Picture>>, bool) {
        let mut pictures = self.lock();
        let Some(slot) = pictures.get_mut(asked) else { return (None, true) };
        let age = |picture: &Arc<Picture>| now.since(picture.until);
        let shown = slot.picture.clone().filter(|picture| age(picture) < STALE);
        let make = !slot.making && slot.picture.as_ref().is_none_or(|picture| age(picture) >= FRESH);
        (shown, make)
    }

    /// A new picture is being made.
    fn begin(&self, asked: &Asked) {
        self.lock().entry(asked.clone()).or_default().making = true;
    }

    fn keep(&self, asked: &Asked, picture: Option<Arc<Picture>>) {
        let mut pictures = self.lock();
        if pictures.len() >= MOST && !pictures.contains_key(asked) {
            let until = |slot: &Slot| slot.picture.as_ref().map(|picture| picture.until);
            let oldest = pictures.iter().min_by_key(|(_, slot)| until(slot)).map(|(asked, _)| asked.clone());
            oldest.and_then(|oldest| pictures.remove(&oldest));
        }
        let slot = pictures.entry(asked.clone()).or_default();
        slot.making = false;
        slot.picture = picture.or_else(|| slot.picture.take());
    }
}

/// Who talked to whom, as of now or a moment ago.
pub(crate) async fn picture(
    state: &AppState,
    asked: &Asked,
    now: Timestamp,
) -> Result<Arc<Picture>, Problem> {
    let (shown, make) = state.network().find(asked, now);
    let picture = match shown {
        Some(picture) => picture,
        None => made(state, asked, now, QUICK).await?,
    };
    if make && picture.whole_from.is_none() && picture.until == now {
        state.network().keep(asked, Some(picture.clone()));
    } else if make {
        state.network().begin(asked);
        let (state, asked) = (state.clone(), asked.clone());
        tokio::spawn(async move {
            let made = made(&state, &asked, Timestamp::now(), PATIENT).await;
            let made = made.inspect_err(|problem| {
                tracing::warn!(cause = problem.cause, "no new picture of the traffic")
            });
            state.network().keep(&asked, made.ok());
        });
    }
    Ok(picture)
}

async fn made(
    state: &AppState,
    asked: &Asked,
    now: Timestamp,
    budget: Duration,
) -> Result<Arc<Picture>, Problem> {
    let since = now.before(Duration::from_secs(asked.hours * 3600));
    let ask = Ask {
        since,
        until: now,
        layer: (!asked.layer.is_empty()).then(|| asked.layer.clone()),
        person: None,
        device: None,
        port: None,
        grain: Grain::Pair,
        limit: PAIRS,
        budget,
    };
    let found = conversations(state.trail(), &ask).await.map_err(|error| unreadable(&error))?;
    Ok(Arc::new(Picture {
        since,
        until: now,
        whole_from: found.reaches_back_to.filter(|at| *at > since),
        left_out: found.total.saturating_sub(found.items.len()),
        talks: talks(found.items, state.history()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(until: Timestamp) -> Arc<Picture> {
        Arc::new(Picture {
            since: Timestamp::default(),
            until,
            whole_from: None,
            left_out: 0,
            talks: Vec::new(),
        })
    }

    fn asked(hours: u64) -> Asked {
        Asked { hours, layer: String::new() }
    }

    #[test]
    fn an_old_picture_is_shown_while_one_and_only_one_new_is_made() {
        let kept = Kept::default();
        let then = Timestamp::from_nanos(1_000_000_000_000);
        let found = |now: Timestamp| {
            let (shown, make) = kept.find(&asked(24), now);
            (shown.is_some(), make)
        };
        assert_eq!(found(then), (false, true));
        kept.keep(&asked(24), Some(picture(then)));
        assert_eq!(found(then.after(FRESH / 2)), (true, false));
        assert_eq!(found(then.after(FRESH)), (true, true));
        kept.begin(&asked(24));
        assert_eq!(found(then.after(FRESH)), (true, false), "one is being made already");
        kept.keep(&asked(24), None);
        assert_eq!(found(then.after(FRESH)), (true, true), "after a failure it is tried again");
        assert!(!found(then.after(STALE)).0);
    }

    #[test]
    fn the_oldest_picture_goes_when_there_are_too_many() {
        let kept = Kept::default();
        for hours in 0..(MOST as u64 + 5) {
            kept.keep(&asked(hours), Some(picture(Timestamp::from_nanos(1 + hours as i64))));
        }
        assert_eq!(kept.lock().len(), MOST);
        assert!(kept.lock().contains_key(&asked(MOST as u64 + 4)));
        assert!(!kept.lock().contains_key(&asked(0)));
    }
}
