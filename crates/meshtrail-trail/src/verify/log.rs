//! The events that only this machine's log has.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use meshtrail_event::EventId;
use meshtrail_event::text::with_causes;

use super::leaves::{contains, has_id};
use super::report::{LogCheck, ProblemKind, Report};
use super::{Scope, VerifyRequest};
use crate::run_blocking;
use crate::tree::{Hash, leaf_hash};
use crate::wal::{ScanResult, WalError, files_in, scan};

/// Attempts to read the log if it seems damaged: a server may be writing that very frame, or have sealed and removed a
/// file since the folder was listed.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// The events of the log that are not sealed.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The first file, for problems.
    pub(super) name: String,
    /// The index of the first leaf below.
    pub(super) first: u64,
    pub(super) hashes: Vec<Hash>,
    /// The index of the requested event.
    pub(super) found: Option<u64>,
    /// Whether the log was read.
    pub(super) check: LogCheck,
    wrong: Vec<(String, ProblemKind)>,
}

/// Reads the log in the folder `local`.
pub(super) async fn read(local: &Path, request: &VerifyRequest, report: &mut Report) -> Log {
    let folder = local.join("wal");
    let wanted = match &request.scope {
        Scope::Event(id) => Some(id.clone()),
        _ => None,
    };
    let mut log = Log::default();
    for attempt in 1..=TRIES {
        let (folder, wanted) = (folder.clone(), wanted.clone());
        log = run_blocking(move || Log::read(&folder, wanted.as_ref())).await;
        if log.wrong.is_empty() || attempt == TRIES {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    for (file, wrong) in log.wrong.drain(..) {
        report.add_problem(file, wrong);
    }
    log
}

impl Log {
    fn read(folder: &Path, wanted: Option<&EventId>) -> Self {
        let mut log = Self { name: folder.display().to_string(), ..Self::default() };
        let needle = wanted.map(|id| format!("\"id\":\"{id}\"").into_bytes());
        log.check = match files_in(folder) {
            Ok(files) if files.is_empty() => LogCheck::Missing,
            _ => LogCheck::Yes,
        };
        let scanned = scan(folder, &mut |entry| {
            if log.hashes.is_empty() {
                log.first = entry.index;
            }
            log.hashes.push(leaf_hash(entry.leaf));
            if needle.as_ref().is_some_and(|needle| contains(entry.leaf, needle))
                && has_id(entry.leaf, wanted)
            {
                log.found = Some(entry.index);
            }
        });
        match scanned {
            Ok(ScanResult { torn: Some((path, offset)), .. }) => {
                let reason = "its last frame is not whole: either an append that a crash cut off, which was never \
                              acknowledged and is dropped at the next start, or damage to the last events";
                log.wrong.push((
                    path.display().to_string(),
                    ProblemKind::Log { offset, reason: reason.to_owned() },
                ));
            }
            Ok(_) => {}
            Err(error) => log.failed(folder, &error),
        }
        log
    }

    /// Drops the hashes of the `sealed` events; returns the events that are in neither.
    pub(super) fn skip_sealed(&mut self, sealed: u64) -> Option<Range<u64>> {
        if self.first > sealed && !self.hashes.is_empty() {
            return Some(sealed..self.first);
        }
        let known = usize::try_from(sealed.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.hashes.drain(..known.min(self.hashes.len()));
        self.first = sealed;
        None
    }

    fn failed(&mut self, folder: &Path, error: &WalError) {
        let (path, wrong) = match error {
            WalError::Damaged { path, offset, what } => {
                (path.as_path(), ProblemKind::Log { offset: *offset, reason: (*what).to_owned() })
            }
            WalError::Gap { path, expected, found } => {
                (path.as_path(), ProblemKind::LogGap { events: *expected..*found.max(expected) })
            }
            WalError::Disk { .. } | WalError::Newer { .. } => {
                (folder, ProblemKind::Unreadable { reason: with_causes(error) })
            }
        };
        self.wrong.push((path.display().to_string(), wrong));
    }
}
