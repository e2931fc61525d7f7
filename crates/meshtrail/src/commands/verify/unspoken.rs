//! Objects below `recordings/` that no event of the trail speaks of: somebody may have put them there.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use meshtrail_event::SessionId;
use meshtrail_recording::seal::RecordingObject;
use meshtrail_recording::unsealed_sessions;
use meshtrail_trail::store::{GetError, Key, Store};

use super::asked;
use super::findings::Findings;
use super::whole::Place;
use crate::output::note;

/// The objects there are, until an event speaks of them.
#[derive(Default)]
pub(super) struct Unspoken {
    sessions: BTreeMap<SessionId, Vec<Key>>,
    foreign: Vec<Key>,
}

impl Unspoken {
    /// All objects below `recordings/` but the journal's.
    pub(super) async fn list(store: &Store) -> Result<Self> {
        let mut unspoken = Self::default();
        let below = Key::new("recordings").expect("a plain word is a key");
        for entry in store.list(&below).await? {
            match RecordingObject::of(&entry.key) {
                RecordingObject::OfSession(session) => {
                    unspoken.sessions.entry(session).or_default().push(entry.key);
                }
                RecordingObject::Journal { .. } => {}
                RecordingObject::Foreign => unspoken.foreign.push(entry.key),
            }
        }
        Ok(unspoken)
    }

    /// An event of the trail speaks of this session's objects.
    pub(super) fn speak_of(&mut self, session: &SessionId) {
        self.sessions.remove(session);
    }

    /// Says which objects nothing speaks of.
    pub(super) async fn conclude(self, place: &Place, store: &Store, findings: &mut Findings) -> Result<()> {
        for key in &self.foreign {
            findings.add(key.as_str(), false, "no recorder puts such an object here")?;
        }
        let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.sessions.into_iter().partition(|(session, _)| session.trail() == place.trail);
        of_other_trails(others, store, findings).await?;
        if own.is_empty() {
            return Ok(());
        }
        let local = place.local();
        let unsealed = match unsealed_sessions(store, local.as_deref(), &place.trail).await {
            Ok(unsealed) => unsealed,
            Err(error) => {
                note(&format!("Note: sessions that are not sealed yet can't be told: {error:#}"));
                HashSet::new()
            }
        };
        // What was sealed just before the list was read may have got its event just after.
        let api = place.api().await?;
        for (session, keys) in own {
            if asked::shown(&api, &session).await.is_ok_and(|shown| shown.event.is_some()) {
                continue;
            }
            for key in keys {
                if unsealed.contains(&session) {
                    note(&format!(
                        "Note: the event that ends {session} is not in the trail yet, {key} is: the server is sealing \
                         it, or stopped while it did"
                    ));
                    continue;
                }
                let said =
                    "no event speaks of it: somebody put it there, or an import was cut off before its event";
                findings.add(key.as_str(), false, said)?;
            }
        }
        Ok(())
    }
}

/// Recordings of another trail in the same store are checked with that trail, if there is one.
async fn of_other_trails(
    others: BTreeMap<SessionId, Vec<Key>>,
    store: &Store,
    findings: &mut Findings,
) -> Result<()> {
    let mut trails: BTreeMap<String, bool> = BTreeMap::new();
    for (session, keys) in others {
        let trail = session.trail();
        if !trails.contains_key(trail) {
            let vkey = Key::new(format!("trails/{trail}/vkey"))?;
            let there = !matches!(store.get(&vkey).await, Err(GetError::Missing { .. }));
            if there {
                note(&format!(
                    "Note: recordings of trail {trail} are here as well: verify them with --trail {trail}"
                ));
            }
            trails.insert(trail.to_owned(), there);
        }
        if trails.get(trail).is_some_and(|there| *there) {
            continue;
        }
        for key in keys {
            findings.add(
                key.as_str(),
                false,
                &format!("no event speaks of it, and there is no trail {trail} here"),
            )?;
        }
    }
    Ok(())
}
