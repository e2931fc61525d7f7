//! A demo: thirty days of a fictional company, written to a trail of their own before anything is served.
//!
//! - Only a folder that is new, empty, or already a demo's is used; a server with real data refuses a demo's folder.
//! - The trail is a real one: its events have the time of writing as their receive time and the story's time as their
//!   own, and it is proven like any other trail. The trail's name and origin mark it as a demo, and so does every id,
//!   checkpoint and evidence pack; every page and response says so as well.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use meshtrail_demo::{Item, Story, StoryEvent};
use meshtrail_event::{Event, SessionId, Timestamp};
use meshtrail_recording::{DEMO_TRAIL, DemoSession, DemoSessionError, Recordings, StoredDemoSession};
use meshtrail_trail::AppendError;
use meshtrail_trail::durable::{self, Readers};
use serde::{Deserialize, Serialize};

use super::Server;
use crate::config::Config;

/// The version of the marker file in a demo's folder.
const FORMAT: u32 = 1;

/// Events per append.
const BATCH: usize = 1500;

/// Recordings that are stored at a time.
const MAX_CONCURRENT: usize = 8;

/// A story ends at a multiple of this many seconds, so that two demos made within it are the same.
const END_STEP: i64 = 300;

/// Why a demo can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{} holds something that is no demo: name a folder that is empty or does not exist", path.display())]
    Foreign { path: PathBuf },
    /// The folder holds an unfinished demo, or one of another seed or version; `what` says which.
    #[error("{} holds a demo {what}: remove it, or name another folder", path.display())]
    Other { path: PathBuf, what: String },
    #[error("the folder {} can't be used", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Recording(#[from] DemoSessionError),
    #[error("the trail takes no events")]
    Append(#[from] AppendError),
}

/// The content of `demo.json`, which marks a demo's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    seed: u64,
    until: Timestamp,
    #[serde(rename = "whole")]
    is_complete: bool,
}

/// The folder of a demo.
#[derive(Debug)]
pub struct DemoFolder {
    folder: PathBuf,
    marker: Marker,
}

fn marker_path(folder: &Path) -> PathBuf {
    folder.join("demo.json")
}

/// Whether a folder is marked as a demo's.
pub(crate) fn is_demo(folder: &Path) -> bool {
    marker_path(folder).exists()
}

impl DemoFolder {
    /// Opens a folder for a demo of `seed`: a new demo ends at about `now`, a complete one is served as it is.
    pub fn open(folder: &Path, seed: u64, now: Timestamp) -> Result<DemoFolder, DemoError> {
        let failed = |source| DemoError::Folder { path: folder.to_owned(), source };
        let other = |what: String| DemoError::Other { path: folder.to_owned(), what };
        std::fs::create_dir_all(folder).map_err(failed)?;
        match std::fs::read(marker_path(folder)) {
            Ok(bytes) => {
                let marker: Marker =
                    serde_json::from_slice(&bytes).map_err(|_| other("of another version".to_owned()))?;
                match marker {
                    Marker { format, .. } if format != FORMAT => Err(other("of another version".to_owned())),
                    Marker { is_complete: false, .. } => Err(other("that was not finished".to_owned())),
                    Marker { seed: existing, .. } if existing != seed => {
                        Err(other(format!("from seed {existing}")))
                    }
                    marker => Ok(DemoFolder { folder: folder.to_owned(), marker }),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
                    return Err(DemoError::Foreign { path: folder.to_owned() });
                }
                let until = Timestamp::from_seconds(now.as_seconds() / END_STEP * END_STEP).unwrap_or(now);
                let demo = DemoFolder {
                    folder: folder.to_owned(),
                    marker: Marker { format: FORMAT, seed, until, is_complete: false },
                };
                demo.write_marker()?;
                Ok(demo)
            }
            Err(source) => Err(failed(source)),
        }
    }

    fn write_marker(&self) -> Result<(), DemoError> {
        let text = serde_json::to_vec(&self.marker).expect("a marker is plain data");
        let written = durable::replace(&marker_path(&self.folder), Readers::Everyone, &text);
        written.map_err(|source| DemoError::Folder { path: self.folder.clone(), source })
    }

    /// Whether the whole story is in the trail.
    pub fn is_complete(&self) -> bool {
        self.marker.is_complete
    }

    /// Sets the trail's name, its origin and the banner.
    pub fn configure(&self, config: &mut Config) {
        let seed = self.marker.seed;
        config.trail.name = DEMO_TRAIL.to_owned();
        config.trail.origin = Some(format!("demo.example.com/made-up/seed-{seed}"));
        config.banner =
            Some(format!("Demo: a made-up company (seed {seed}). Nothing on these pages happened."));
    }

    /// Writes the story to the server's trail; `progress` is called with percentages.
    pub async fn write_story(mut self, server: &Server, progress: impl Fn(u64)) -> Result<(), DemoError> {
        let story = Story::new(self.marker.seed, self.marker.until, DEMO_TRAIL);
        write_story(server, story, progress).await?;
        self.marker.is_complete = true;
        self.write_marker()
    }
}

async fn write_story(server: &Server, story: Story, progress: impl Fn(u64)) -> Result<(), DemoError> {
    let recordings = &server.recordings;
    let mut stored = store_recordings(recordings, &story, &progress).await?;
    let mut sessions: HashMap<usize, SessionId> = HashMap::new();
    let (all, mut batch) = (story.items.len().max(1) as u64, Vec::new());
    for (at, item) in (0u64..).zip(story.items) {
        if batch.len() >= BATCH || (!batch.is_empty() && !matches!(item, Item::Event(_))) {
            append(server, std::mem::take(&mut batch)).await?;
            progress(40 + at * 60 / all);
        }
        match item {
            Item::Event(event) => batch.push(to_event(*event, &sessions)),
            Item::SessionOpened { number, .. } => {
                if let Some(session) = stored.get_mut(&number) {
                    sessions.insert(number, recordings.start_demo(session).await?);
                }
            }
            Item::SessionClosed { number } => {
                if let Some(session) = stored.remove(&number) {
                    recordings.end_demo(session).await?;
                }
            }
        }
    }
    append(server, batch).await?;
    // Sessions that the story leaves open are ended as well: nothing more would ever be recorded in them.
    for session in stored.into_values() {
        recordings.end_demo(session).await?;
    }
    progress(100);
    Ok(())
}

/// Appends events of the story's sources, and counts them in the list of sources like those of any sender.
async fn append(server: &Server, batch: Vec<Event>) -> Result<(), AppendError> {
    let came: Vec<_> = batch.iter().map(|event| (event.id.clone(), event.time)).collect();
    server.trail.append(batch).await?;
    server.state.sources().record_received(&came, Timestamp::now());
    Ok(())
}

/// Stores the bytes of all recordings; their events are written later.
async fn store_recordings(
    recordings: &Recordings,
    story: &Story,
    progress: &impl Fn(u64),
) -> Result<HashMap<usize, StoredDemoSession>, DemoError> {
    let generated: Vec<_> = story
        .items
        .iter()
        .filter_map(|item| match item {
            Item::SessionOpened { number, recording } => Some((*number, recording)),
            _ => None,
        })
        .collect();
    let all = generated.len().max(1) as u64;
    let storing = generated.into_iter().map(|(number, recording)| async move {
        let session = DemoSession {
            started: recording.started,
            ended: recording.ended,
            cast: &recording.cast,
            actor: recording.actor.clone(),
            identity: recording.identity.clone(),
            target: recording.target.clone(),
            peer: recording.peer.clone(),
            recorded_by: recording.recorded_by.clone(),
            cut_off: recording.cut_off.clone(),
        };
        Ok::<_, DemoSessionError>((number, recordings.store_demo(session).await?))
    });
    let mut stored = HashMap::new();
    let mut storing = stream::iter(storing).buffer_unordered(MAX_CONCURRENT);
    while let Some((number, one)) = storing.try_next().await? {
        stored.insert(number, one);
        progress(stored.len() as u64 * 40 / all);
    }
    Ok(stored)
}

fn to_event(event: StoryEvent, sessions: &HashMap<usize, SessionId>) -> Event {
    let StoryEvent { id, mut draft, session } = event;
    draft.session = session.and_then(|number| sessions.get(&number).cloned());
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
        let mut demo = DemoFolder::open(&fresh, 7, now).unwrap();
        assert!(is_demo(&fresh) && !demo.is_complete());
        let unfinished = DemoFolder::open(&fresh, 7, now).unwrap_err().to_string();
        assert!(unfinished.contains("a demo that was not finished"), "{unfinished}");
        demo.marker.is_complete = true;
        demo.write_marker().unwrap();
        assert!(DemoFolder::open(&fresh, 7, now).unwrap().is_complete());
        let other = DemoFolder::open(&fresh, 8, now).unwrap_err().to_string();
        assert!(other.contains("from seed 7"), "{other}");
        let real = folder.path().join("real");
        std::fs::create_dir_all(real.join("trails/main")).unwrap();
        assert!(matches!(DemoFolder::open(&real, 7, now), Err(DemoError::Foreign { .. })));
        assert!(!is_demo(&real));
    }
}
