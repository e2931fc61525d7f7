//! Retention: deletes whole segments after a time, the oldest first.
//!
//! - Hashes of dropped events are kept: their manifests stay, and the newest manifest has the subtrees that proofs of later
//!   events need. The remaining events verify as before.
//! - The time counts from sealing, by the server's clock, not from the events' own times.
//! - The newest segment is never dropped: it holds the right edge of the tree.
//! - A bucket with object locks may refuse a deletion; the next sweep tries it again.

use std::time::Duration;

use meshtrail_event::Timestamp;

use crate::manifest::{Fold, ManifestChange, Put, PutNextError, put_next};
use crate::note;
use crate::store::{Key, Store, StoreError};

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Events that were dropped from the trail.
    pub events: u64,
    /// Segments that were dropped.
    pub segments: u64,
    /// Files that were deleted, including those left over from an earlier sweep.
    pub files: u64,
    /// Files that the bucket's lock still protects.
    pub locked: u64,
}

/// Why a sweep did not finish. What it did stays done; the next sweep continues.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RetentionError {
    /// The manifest that retires segments was not written: nothing was dropped.
    #[error("failed to retire segments")]
    Retire(#[from] PutNextError),
    #[error("failed to look for retired files")]
    List(#[source] StoreError),
    #[error("failed to delete retired {key}")]
    Delete { key: Key, source: StoreError },
}

/// Drops the segments that were sealed longer than `keep` before `now`.
pub async fn sweep(
    store: &Store,
    root: &Key,
    signing: &note::Key,
    fold: &mut Fold,
    keep: Duration,
    now: Timestamp,
) -> Result<SweepReport, RetentionError> {
    let mut report = SweepReport::default();
    let due = retirable(fold, keep, now);
    if let Some((size, segments)) = due {
        let (before, retired) = (fold.retired_size(), fold.retirement(size));
        let change = ManifestChange { retired, ..ManifestChange::default() };
        // A crash before this put changes nothing. If an earlier put turns out to have succeeded, the next sweep decides
        // again.
        if put_next(store, root, signing, fold, change, now).await? == Put::Done {
            report.events = size - before;
            report.segments = segments;
        }
    }
    // A crash here, or between two deletions, leaves files of retired events: nothing reads them, verification reports
    // them as leftovers, and the next sweep deletes them because it lists the store.
    if fold.retired_size() > 0 {
        delete(store, root, fold, &mut report).await?;
    }
    Ok(report)
}

/// The index up to which events can be retired, and their number of segments.
fn retirable(fold: &Fold, keep: Duration, now: Timestamp) -> Option<(u64, u64)> {
    let all_but_newest = fold.segments().len().saturating_sub(1);
    let due = fold.segments().iter().take(all_but_newest);
    let due: Vec<u64> =
        due.take_while(|segment| segment.sealed.after(keep) <= now).map(|segment| segment.end()).collect();
    due.last().map(|&end| (end, due.len() as u64))
}

async fn delete(
    store: &Store,
    root: &Key,
    fold: &Fold,
    report: &mut SweepReport,
) -> Result<(), RetentionError> {
    let folder = root.join("segments").expect("a trail's root leaves room");
    for entry in store.list(&folder).await.map_err(RetentionError::List)? {
        if range_of(entry.key.name()).is_none_or(|(_, last)| last >= fold.retired_size()) {
            continue;
        }
        match store.delete(&entry.key).await {
            Ok(()) => report.files += 1,
            Err(StoreError::Locked { .. }) => report.locked += 1,
            Err(source) => return Err(RetentionError::Delete { key: entry.key, source }),
        }
    }
    Ok(())
}

/// The first and last index in a segment file's name, `<first>-<last>.parquet`.
pub(crate) fn range_of(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".parquet")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load;
    use crate::sealed_fixture::{SealedTrail, hour, signing, verifier};

    const HOUR: Duration = Duration::from_secs(3600);

    fn files(sealed: &SealedTrail) -> usize {
        let folders = std::fs::read_dir(sealed.path("segments")).unwrap().map(|entry| entry.unwrap().path());
        let dates = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
        dates.map(|date| std::fs::read_dir(date.unwrap().path()).unwrap().count()).sum()
    }

    #[tokio::test]
    async fn segments_leave_when_their_time_is_over_and_never_the_newest() {
        let mut sealed = SealedTrail::of(&[100, 200, 300, 400]).await;
        let (store, root) = (sealed.store.clone(), sealed.root.clone());
        let tree = sealed.fold.tree();
        let early = sweep(&store, &root, &signing(), &mut sealed.fold, 10 * HOUR, hour(9)).await.unwrap();
        assert_eq!((early, sealed.fold.retired_size()), (SweepReport::default(), 0));

        let two = sweep(&store, &root, &signing(), &mut sealed.fold, 10 * HOUR, hour(11)).await.unwrap();
        assert_eq!(two, SweepReport { events: 300, segments: 2, files: 4, locked: 0 });
        assert_eq!((sealed.fold.retired_size(), files(&sealed)), (300, 4));

        let rest = sweep(&store, &root, &signing(), &mut sealed.fold, 10 * HOUR, hour(999)).await.unwrap();
        assert_eq!((rest.events, sealed.fold.segments().len(), files(&sealed)), (300, 1, 2));
        let read_again = load(&store, &root, Some(&verifier())).await.unwrap().unwrap();
        assert_eq!((sealed.fold.tree(), read_again.tree(), read_again.retired_size()), (tree, tree, 600));
    }

    #[tokio::test]
    async fn what_a_crash_left_behind_is_deleted_by_the_next_sweep() {
        let mut sealed = SealedTrail::of(&[100, 200]).await;
        let (store, root) = (sealed.store.clone(), sealed.root.clone());
        let name = "segments/family=flow/date=2026-11-20/0-99.parquet";
        let kept = std::fs::read(sealed.path(name)).unwrap();
        sweep(&store, &root, &signing(), &mut sealed.fold, HOUR, hour(99)).await.unwrap();
        std::fs::write(sealed.path(name), kept).unwrap();
        let again = sweep(&store, &root, &signing(), &mut sealed.fold, HOUR, hour(99)).await.unwrap();
        assert_eq!((again, files(&sealed)), (SweepReport { files: 1, ..SweepReport::default() }, 2));
    }
}
