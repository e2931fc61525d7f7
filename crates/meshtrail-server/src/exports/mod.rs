//! Export jobs: long answers that are made in the background, watched, and taken away when done.
//!
//! - An export is a file below `<data>/local/exports` and, once it is whole, a note beside it. A restart takes up what
//!   is whole and removes the rest, which is told as nothing: an export is asked for again, not resumed.
//! - At most two run at once; the next ones wait. At most [`KEPT`] are known, and a whole one is kept for
//!   [`KEEP`].
//! - Asking for one and its end are in the trail, the end with the SHA-256 of the file.
//!
//! What an export holds is made in `make`.

mod make;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_event::Timestamp;
use meshtrail_query::Filter;
use meshtrail_worker::Format;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::durable::{self, Readers};
use crate::state::AppState;

/// How many are made at once.
const RUNNING: usize = 2;

/// How many are known at once.
pub const KEPT: usize = 64;

/// How long a whole one is kept.
pub const KEEP: Duration = Duration::from_secs(7 * 86_400);

/// What is to be exported.
#[derive(Debug, Clone)]
pub enum What {
    /// The answer to a question in SQL.
    Sql {
        /// The question.
        sql: String,
        /// How it is written.
        format: Format,
    },
    /// The leaves that a filter lets through, byte for byte, one a line.
    Leaves(Filter),
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Others are made first.
    Waiting,
    /// It is being made.
    Running,
    /// It is whole.
    Done,
    /// It could not be made.
    Failed,
    /// Somebody gave it up.
    Cancelled,
}

impl Progress {
    /// Whether nothing more will happen to it.
    pub fn is_over(self) -> bool {
        !matches!(self, Progress::Waiting | Progress::Running)
    }
}

/// An export, as it stands.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Export {
    /// Bytes written.
    pub bytes: u64,
    /// Who asked for it.
    pub by: String,
    /// Why it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was done with.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// `jsonl`, `csv` or `parquet`.
    pub format: String,
    /// Its name.
    pub id: String,
    /// Events looked at so far, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<u64>,
    /// Events to be looked at, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// How far it is.
    pub progress: Progress,
    /// The question: SQL, or a filter.
    pub question: String,
    /// Rows written.
    pub rows: u64,
    /// SHA-256 of the whole file, in lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub started: Timestamp,
}

impl Export {
    /// The name of its file, for whoever takes it away.
    pub fn file_name(&self) -> String {
        let extension =
            if self.format == Format::CsvSafe.name() { Format::CsvSafe.extension() } else { &self.format };
        format!("{}.{extension}", self.id)
    }
}

/// Why there is no new export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{most} exports are known already: remove some first")]
pub struct TooMany {
    most: usize,
}

/// All exports of a server; a clone shares them.
#[derive(Clone)]
pub struct Exports(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    /// By id, which counts up; never held across an await or a file.
    known: Mutex<BTreeMap<String, Entry>>,
    /// The second of the newest id, and its number in it: an id is given once, whatever becomes of it.
    given: Mutex<(String, u32)>,
    most: usize,
    turns: Semaphore,
}

struct Entry {
    export: Export,
    cancel: CancellationToken,
}

impl Exports {
    /// Takes up what is whole in `folder`, and removes everything else from it.
    pub fn open(folder: PathBuf) -> io::Result<Exports> {
        fs::create_dir_all(&folder)?;
        let mut known = BTreeMap::new();
        let names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        for note in names.iter().filter(|path| path.extension().is_some_and(|of| of == "note")) {
            if let Some(export) = whole(&folder, note) {
                known.insert(export.id.clone(), Entry { export, cancel: CancellationToken::new() });
            }
        }
        let keep = |path: &Path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            stem.is_some_and(|stem| known.contains_key(stem))
        };
        for path in names.iter().filter(|path| !keep(path)) {
            fs::remove_file(path)?;
        }
        Ok(Exports::of(folder, known, KEPT))
    }

    /// No exports, and no place for any: where a store is only read.
    pub fn none() -> Exports {
        Exports::of(PathBuf::new(), BTreeMap::new(), 0)
    }

    fn of(folder: PathBuf, known: BTreeMap<String, Entry>, most: usize) -> Exports {
        let turns = Semaphore::new(RUNNING);
        Exports(Arc::new(Shared { folder, known: Mutex::new(known), given: Mutex::default(), most, turns }))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every export, the newest first.
    pub fn list(&self) -> Vec<Export> {
        self.known().values().rev().map(|entry| entry.export.clone()).collect()
    }

    /// One export.
    pub fn get(&self, id: &str) -> Option<Export> {
        self.known().get(id).map(|entry| entry.export.clone())
    }

    /// Where the file of a whole export lies.
    pub fn file(&self, export: &Export) -> PathBuf {
        self.0.folder.join(export.file_name())
    }

    fn note(&self, id: &str) -> PathBuf {
        self.0.folder.join(format!("{id}.note"))
    }

    /// The name of the next export.
    pub fn next_id(&self, now: Timestamp) -> String {
        // Ids sort by time: `20261121T140211-0`.
        let stamp: String = now.to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
        let mut given = self.0.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = if given.0 == stamp { given.1 + 1 } else { 0 };
        while self.known().contains_key(&format!("{stamp}-{count}")) {
            count += 1;
        }
        let id = format!("{stamp}-{count}");
        *given = (stamp, count);
        id
    }

    /// Begins an export in a task of its own.
    pub fn begin(&self, state: &AppState, export: Export, what: What) -> Result<Export, TooMany> {
        self.expire(Timestamp::now());
        let cancel = state.stop().child_token();
        {
            let mut known = self.known();
            if known.len() >= self.0.most {
                return Err(TooMany { most: self.0.most });
            }
            known.insert(export.id.clone(), Entry { export: export.clone(), cancel: cancel.clone() });
        }
        let (exports, state, id) = (self.clone(), state.clone(), export.id.clone());
        tokio::spawn(async move { make::run(exports, state, id, what, cancel).await });
        Ok(export)
    }

    /// Gives up an export that is being made, or removes one that is done with.
    pub fn remove(&self, id: &str) -> io::Result<Option<Export>> {
        let (export, over) = {
            let mut known = self.known();
            let Some(entry) = known.get_mut(id) else { return Ok(None) };
            entry.cancel.cancel();
            let over = entry.export.progress.is_over();
            let export = entry.export.clone();
            if over {
                known.remove(id);
            }
            (export, over)
        };
        if over {
            // The note goes first: a file without one is removed at the next start.
            for path in [self.note(id), self.file(&export)] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(Some(export))
    }

    /// Removes what was kept long enough.
    fn expire(&self, now: Timestamp) {
        let old = |export: &Export| {
            export.finished.is_some_and(|finished| {
                let age = now.as_nanos().saturating_sub(finished.as_nanos());
                age > i64::try_from(KEEP.as_nanos()).unwrap_or(i64::MAX)
            })
        };
        for export in self.list().into_iter().filter(old) {
            if let Err(error) = self.remove(&export.id) {
                tracing::warn!(error = &error as &dyn std::error::Error, export.id, "an old export stays");
            }
        }
    }

    /// Changes what is told of an export; gives back how it stands then.
    fn update(&self, id: &str, change: impl FnOnce(&mut Export)) -> Option<Export> {
        let mut known = self.known();
        let entry = known.get_mut(id)?;
        change(&mut entry.export);
        Some(entry.export.clone())
    }

    /// Makes a whole export outlive a restart.
    fn keep(&self, export: &Export) -> io::Result<()> {
        let note = serde_json::to_vec(export).map_err(io::Error::other)?;
        durable::replace(&self.note(&export.id), Readers::Owner, &note)
    }
}

/// The export of a note, if its file is there in full.
fn whole(folder: &Path, note: &Path) -> Option<Export> {
    let export: Export = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    let named = note.file_stem().is_some_and(|stem| stem == export.id.as_str());
    let size = fs::metadata(folder.join(export.file_name())).ok()?.len();
    (named && export.progress == Progress::Done && size == export.bytes).then_some(export)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(id: &str, bytes: u64) -> Export {
        Export {
            bytes,
            by: "token x".to_owned(),
            error: None,
            finished: Some(Timestamp::now()),
            format: "csv".to_owned(),
            id: id.to_owned(),
            looked_at: None,
            of: None,
            progress: Progress::Done,
            question: "select 1".to_owned(),
            rows: 1,
            sha256: None,
            started: Timestamp::now(),
        }
    }

    #[test]
    fn a_restart_keeps_what_is_whole_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let exports = Exports::open(folder.path().to_owned()).unwrap();
        for (id, bytes) in [("a-0", 4), ("b-0", 9)] {
            fs::write(path(&format!("{id}.csv")), "x,y\n").unwrap();
            exports.keep(&export(id, bytes)).unwrap();
        }
        fs::write(path("c-0.csv"), "half").unwrap();
        let again = Exports::open(folder.path().to_owned()).unwrap();
        let ids: Vec<String> = again.list().into_iter().map(|export| export.id).collect();
        assert_eq!(ids, ["a-0"], "b is shorter than its note says, c has none");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        again.remove("a-0").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn ids_count_within_a_second_and_none_is_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path().to_owned()).unwrap();
        let now: Timestamp = "2026-11-21T14:02:11.5Z".parse().unwrap();
        let entry = Entry { export: export("20261121T140211-0", 0), cancel: CancellationToken::new() };
        exports.known().insert("20261121T140211-0".to_owned(), entry);
        assert_eq!(exports.next_id(now), "20261121T140211-1");
        assert_eq!(
            exports.next_id(now),
            "20261121T140211-2",
            "the one before was given, and is not known yet"
        );
    }
}
