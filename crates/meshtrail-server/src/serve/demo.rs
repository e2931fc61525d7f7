//! A demo: a made-up company's thirty days, told into a trail of their own before anything is served.
//!
//! - Only a folder that is new, empty, or a demo's already is taken; a server with real data refuses a demo's folder.
//! - The trail is a real one: its events are received when they are told, their times are those of the story, and
//!   everything that proves a trail proves this one. That it is made up stands in the trail's name and origin, and so
//!   in every id, checkpoint and evidence pack; and in every page and answer.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use meshtrail_demo::{Item, Story, Told};
use meshtrail_event::{Event, SessionId, Timestamp};
use meshtrail_recording::{Recordings, STAGE, StageError, Staged, Staging};
use meshtrail_trail::AppendError;
use serde::{Deserialize, Serialize};

use super::Server;
use crate::config::Config;
use crate::durable::{self, Readers};

/// The version of the note in a demo's folder.
const FORMAT: u32 = 1;

/// Events that are told at a time.
const BATCH: usize = 1500;

/// Recordings that are kept at a time.
const AT_ONCE: usize = 8;

/// A story ends at a whole such span, so that what is told twice within it is the same.
const ROUND: i64 = 300;

/// Why a demo can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder holds something else.
    #[error("{} holds something that is no demo: name a folder that is empty or does not exist", path.display())]
    Foreign {
        /// Which folder.
        path: PathBuf,
    },
    /// The folder holds a demo that was not finished, or one from another seed.
    #[error("{} holds a demo {what}: remove it, or name another folder", path.display())]
    Other {
        /// Which folder.
        path: PathBuf,
        /// In which way it is another one.
        what: String,
    },
    /// The folder can't be used.
    #[error("the folder {} can't be used", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A recording can't be kept.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The trail takes no events.
    #[error("the trail takes no events")]
    Append(#[from] AppendError),
}

/// What lies in a demo's folder, so that nobody takes it for real data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    format: u32,
    seed: u64,
    until: Timestamp,
    whole: bool,
}

/// A folder that is a demo's.
#[derive(Debug)]
pub struct DemoPlace {
    folder: PathBuf,
    note: Note,
}

fn note_in(folder: &Path) -> PathBuf {
    folder.join("demo.json")
}

/// Whether the folder is a demo's.
pub(crate) fn is_demo(folder: &Path) -> bool {
    note_in(folder).exists()
}

impl DemoPlace {
    /// Takes a folder for a demo of `seed`: a new one is told until `now`, a whole one is served as it is.
    pub fn take(folder: &Path, seed: u64, now: Timestamp) -> Result<DemoPlace, DemoError> {
        let failed = |source| DemoError::Folder { path: folder.to_owned(), source };
        let other = |what: String| DemoError::Other { path: folder.to_owned(), what };
        std::fs::create_dir_all(folder).map_err(failed)?;
        match std::fs::read(note_in(folder)) {
            Ok(bytes) => {
                let note: Note =
                    serde_json::from_slice(&bytes).map_err(|_| other("of another version".to_owned()))?;
                match note {
                    Note { format, .. } if format != FORMAT => Err(other("of another version".to_owned())),
                    Note { whole: false, .. } => Err(other("that was not finished".to_owned())),
                    Note { seed: theirs, .. } if theirs != seed => Err(other(format!("from seed {theirs}"))),
                    note => Ok(DemoPlace { folder: folder.to_owned(), note }),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
                    return Err(DemoError::Foreign { path: folder.to_owned() });
                }
                let until = Timestamp::from_seconds(now.as_seconds() / ROUND * ROUND).unwrap_or(now);
                let place = DemoPlace {
                    folder: folder.to_owned(),
                    note: Note { format: FORMAT, seed, until, whole: false },
                };
                place.write()?;
                Ok(place)
            }
            Err(source) => Err(failed(source)),
        }
    }

    fn write(&self) -> Result<(), DemoError> {
        let text = serde_json::to_vec(&self.note).expect("a note is plain data");
        let written = durable::replace(&note_in(&self.folder), Readers::Everyone, &text);
        written.map_err(|source| DemoError::Folder { path: self.folder.clone(), source })
    }

    /// Whether all of it was told before.
    pub fn is_whole(&self) -> bool {
        self.note.whole
    }

    /// Turns a configuration into a demo's.
    pub fn configure(&self, config: &mut Config) {
        let seed = self.note.seed;
        config.trail.name = STAGE.to_owned();
        config.trail.origin = Some(format!("demo.example.com/made-up/seed-{seed}"));
        config.banner =
            Some(format!("Demo: a made-up company (seed {seed}). Nothing on these pages happened."));
    }

    /// Tells the story into the server's trail; `progress` hears how much of it is told, from 0 to 100.
    pub async fn tell(mut self, server: &Server, progress: impl Fn(u64)) -> Result<(), DemoError> {
        let story = Story::new(self.note.seed, self.note.until, STAGE);
        tell(server, story, progress).await?;
        self.note.whole = true;
        self.write()
    }
}

async fn tell(server: &Server, story: Story, progress: impl Fn(u64)) -> Result<(), DemoError> {
    let recordings = &server.recordings;
    let mut staged = staged(recordings, &story, &progress).await?;
    let mut named: HashMap<usize, SessionId> = HashMap::new();
    let (all, mut batch) = (story.items.len().max(1) as u64, Vec::new());
    for (at, item) in (0u64..).zip(story.items) {
        if batch.len() >= BATCH || (!batch.is_empty() && !matches!(item, Item::Event(_))) {
            append(server, std::mem::take(&mut batch)).await?;
            progress(40 + at * 60 / all);
        }
        match item {
            Item::Event(told) => batch.push(received(*told, &named)),
            Item::Opened { number, .. } => {
                if let Some(staged) = staged.get_mut(&number) {
                    named.insert(number, recordings.tell_start(staged).await?);
                }
            }
            Item::Closed { number } => {
                if let Some(staged) = staged.remove(&number) {
                    recordings.tell_end(staged).await?;
                }
            }
        }
    }
    append(server, batch).await?;
    // What the story leaves open is over all the same: nothing would ever come of it.
    for staged in staged.into_values() {
        recordings.tell_end(staged).await?;
    }
    progress(100);
    Ok(())
}

/// Appends what the story's sources tell; the list of sources hears of it as of any other sender's.
async fn append(server: &Server, batch: Vec<Event>) -> Result<(), AppendError> {
    let came: Vec<_> = batch.iter().map(|event| (event.id.clone(), event.time)).collect();
    server.trail.append(batch).await?;
    server.state.sources().came(&came, Timestamp::now());
    Ok(())
}

/// Keeps the bytes of all recordings; nothing is told of them yet.
async fn staged(
    recordings: &Recordings,
    story: &Story,
    progress: &impl Fn(u64),
) -> Result<HashMap<usize, Staged>, DemoError> {
    let tapes: Vec<_> = story
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Opened { number, tape } => Some((*number, tape)),
            _ => None,
        })
        .collect();
    let all = tapes.len().max(1) as u64;
    let staging = tapes.into_iter().map(|(number, tape)| async move {
        let staging = Staging {
            started: tape.started,
            ended: tape.ended,
            cast: &tape.cast,
            actor: tape.actor.clone(),
            identity: tape.identity.clone(),
            target: tape.target.clone(),
            peer: tape.peer.clone(),
            recorded_by: tape.recorded_by.clone(),
            cut_off: tape.cut_off.clone(),
        };
        Ok::<_, StageError>((number, recordings.stage(staging).await?))
    });
    let mut staged = HashMap::new();
    let mut keeping = stream::iter(staging).buffer_unordered(AT_ONCE);
    while let Some((number, one)) = keeping.try_next().await? {
        staged.insert(number, one);
        progress(staged.len() as u64 * 40 / all);
    }
    Ok(staged)
}

fn received(told: Told, named: &HashMap<usize, SessionId>) -> Event {
    let Told { id, mut draft, session } = told;
    draft.session = session.and_then(|number| named.get(&number).cloned());
    draft.into_event(id, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_anything_else_in_it_is_refused_and_so_is_another_seeds() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let fresh = folder.path().join("fresh");
        let mut place = DemoPlace::take(&fresh, 7, now).unwrap();
        assert!(is_demo(&fresh) && !place.is_whole());
        let unfinished = DemoPlace::take(&fresh, 7, now).unwrap_err().to_string();
        assert!(unfinished.contains("a demo that was not finished"), "{unfinished}");
        place.note.whole = true;
        place.write().unwrap();
        assert!(DemoPlace::take(&fresh, 7, now).unwrap().is_whole());
        let other = DemoPlace::take(&fresh, 8, now).unwrap_err().to_string();
        assert!(other.contains("from seed 7"), "{other}");
        let real = folder.path().join("real");
        std::fs::create_dir_all(real.join("trails/main")).unwrap();
        assert!(matches!(DemoPlace::take(&real, 7, now), Err(DemoError::Foreign { .. })));
        assert!(!is_demo(&real));
    }
}
