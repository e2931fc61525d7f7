//! Export jobs: long results that are written to files in the background, and downloaded when done.
//!
//! - An export is a file below `<data>/local/exports` and, once it is complete, a metadata file beside it. A restart
//!   loads complete exports and removes everything else without a record: an export is requested again, not resumed.
//! - At most two run at once; the next ones wait. There are at most [`MAX_EXPORTS`], and a finished one is kept for
//!   [`RETENTION`].
//! - The request for an export and its end are in the trail, the end with the SHA-256 of the file.
//!
//! The files are written in `job`.

mod job;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_api::exports::{Export, Progress};
use meshtrail_event::Timestamp;
use meshtrail_query::Filter;
use meshtrail_trail::Trail;
use meshtrail_trail::durable::{self, Readers};
use meshtrail_worker::{Format, Workers};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::audit_log::AuditLog;

/// How many exports run at once.
const MAX_RUNNING: usize = 2;

/// How many exports there may be.
pub const MAX_EXPORTS: usize = 64;

/// How long a finished export is kept.
pub const RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// The content of an export.
#[derive(Debug, Clone)]
pub enum ExportContent {
    /// The result of a SQL query.
    Sql { sql: String, format: Format },
    /// The leaves that match a filter, byte for byte, one per line.
    Leaves(Filter),
}

/// The name of an export's file, also for downloads.
pub fn file_name(export: &Export) -> String {
    let extension =
        if export.format == Format::CsvSafe.name() { Format::CsvSafe.extension() } else { &export.format };
    format!("{}.{extension}", export.id)
}

/// There are too many exports for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{max} exports are known already: remove some first")]
pub struct TooManyExports {
    max: usize,
}

/// What exports are made from, and where they are recorded; cheap to clone.
#[derive(Clone)]
pub struct ExportParts {
    pub trail: Trail,
    /// The SQL workers.
    pub sql: Workers,
    pub audit_log: AuditLog,
    /// Cancelled when the server stops; exports end then.
    pub stop: CancellationToken,
}

/// All exports of a server; a clone shares them.
#[derive(Clone)]
pub struct Exports(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    /// By id, in order of creation; never held across an await or file access.
    jobs: Mutex<BTreeMap<String, Job>>,
    /// The timestamp and the counter of the newest id: an id is never reused, whatever becomes of its export.
    last_id: Mutex<(String, u32)>,
    max: usize,
    slots: Semaphore,
}

struct Job {
    export: Export,
    cancel: CancellationToken,
}

impl Exports {
    /// Loads complete exports from `folder`, and removes everything else in it.
    pub fn open(folder: PathBuf) -> io::Result<Exports> {
        fs::create_dir_all(&folder)?;
        let mut jobs = BTreeMap::new();
        let names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        for metadata in
            names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "note"))
        {
            if let Some(export) = load_finished(&folder, metadata) {
                jobs.insert(export.id.clone(), Job { export, cancel: CancellationToken::new() });
            }
        }
        let is_loaded = |path: &Path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            stem.is_some_and(|stem| jobs.contains_key(stem))
        };
        for path in names.iter().filter(|path| !is_loaded(path)) {
            fs::remove_file(path)?;
        }
        Ok(Exports::of(folder, jobs, MAX_EXPORTS))
    }

    /// No exports and no folder for any: for a process that only reads a store.
    pub fn none() -> Exports {
        Exports::of(PathBuf::new(), BTreeMap::new(), 0)
    }

    fn of(folder: PathBuf, jobs: BTreeMap<String, Job>, max: usize) -> Exports {
        let slots = Semaphore::new(MAX_RUNNING);
        Exports(Arc::new(Shared { folder, jobs: Mutex::new(jobs), last_id: Mutex::default(), max, slots }))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every export, the newest first.
    pub fn list(&self) -> Vec<Export> {
        self.jobs().values().rev().map(|job| job.export.clone()).collect()
    }

    pub fn get(&self, id: &str) -> Option<Export> {
        self.jobs().get(id).map(|job| job.export.clone())
    }

    /// The path of an export's file.
    pub fn file(&self, export: &Export) -> PathBuf {
        self.0.folder.join(file_name(export))
    }

    fn metadata_path(&self, id: &str) -> PathBuf {
        self.0.folder.join(format!("{id}.note"))
    }

    /// A new id.
    pub fn next_id(&self, now: Timestamp) -> String {
        // Ids sort by time: `20261121T140211-0`.
        let stamp: String = now.to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
        let mut last_id = self.0.last_id.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = if last_id.0 == stamp { last_id.1 + 1 } else { 0 };
        while self.jobs().contains_key(&format!("{stamp}-{count}")) {
            count += 1;
        }
        let id = format!("{stamp}-{count}");
        *last_id = (stamp, count);
        id
    }

    /// Starts an export in a task of its own.
    pub fn start(
        &self,
        parts: &ExportParts,
        export: Export,
        content: ExportContent,
    ) -> Result<Export, TooManyExports> {
        self.expire(Timestamp::now());
        let cancel = parts.stop.child_token();
        {
            let mut jobs = self.jobs();
            if jobs.len() >= self.0.max {
                return Err(TooManyExports { max: self.0.max });
            }
            jobs.insert(export.id.clone(), Job { export: export.clone(), cancel: cancel.clone() });
        }
        let (exports, parts, id) = (self.clone(), parts.clone(), export.id.clone());
        tokio::spawn(async move { job::run(exports, parts, id, content, cancel).await });
        Ok(export)
    }

    /// Cancels an unfinished export, or removes a finished one.
    pub fn remove(&self, id: &str) -> io::Result<Option<Export>> {
        let (export, over) = {
            let mut jobs = self.jobs();
            let Some(job) = jobs.get_mut(id) else { return Ok(None) };
            job.cancel.cancel();
            let over = job.export.progress.is_over();
            let export = job.export.clone();
            if over {
                jobs.remove(id);
            }
            (export, over)
        };
        if over {
            // The metadata file is removed first: an export without one is removed at the next start.
            for path in [self.metadata_path(id), self.file(&export)] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(Some(export))
    }

    /// Removes exports that are older than [`RETENTION`].
    fn expire(&self, now: Timestamp) {
        let is_expired = |export: &Export| {
            export.finished.is_some_and(|finished| {
                let age = now.as_nanos().saturating_sub(finished.as_nanos());
                age > i64::try_from(RETENTION.as_nanos()).unwrap_or(i64::MAX)
            })
        };
        for export in self.list().into_iter().filter(is_expired) {
            if let Err(error) = self.remove(&export.id) {
                tracing::warn!(error = &error as &dyn std::error::Error, export.id, "an old export stays");
            }
        }
    }

    /// Updates an export, and returns the new state.
    fn update(&self, id: &str, change: impl FnOnce(&mut Export)) -> Option<Export> {
        let mut jobs = self.jobs();
        let job = jobs.get_mut(id)?;
        change(&mut job.export);
        Some(job.export.clone())
    }

    /// Writes the metadata file, so that a complete export survives a restart.
    fn persist(&self, export: &Export) -> io::Result<()> {
        let metadata = serde_json::to_vec(export).map_err(io::Error::other)?;
        durable::replace(&self.metadata_path(&export.id), Readers::Owner, &metadata)
    }
}

/// Loads an export by its metadata file, if its own file is complete.
fn load_finished(folder: &Path, metadata: &Path) -> Option<Export> {
    let export: Export = serde_json::from_slice(&fs::read(metadata).ok()?).ok()?;
    let has_its_name = metadata.file_stem().is_some_and(|stem| stem == export.id.as_str());
    let size = fs::metadata(folder.join(file_name(&export))).ok()?.len();
    (has_its_name && export.progress == Progress::Done && size == export.bytes).then_some(export)
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
            exports.persist(&export(id, bytes)).unwrap();
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
        let job = Job { export: export("20261121T140211-0", 0), cancel: CancellationToken::new() };
        exports.jobs().insert("20261121T140211-0".to_owned(), job);
        assert_eq!(exports.next_id(now), "20261121T140211-1");
        assert_eq!(
            exports.next_id(now),
            "20261121T140211-2",
            "the one before was given, and is not known yet"
        );
    }
}
