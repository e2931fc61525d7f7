//! Sealed files that the server opened and handed over: this process reads them by itself.
//!
//! The server opens only what is a file of the snapshot, and for reading alone. A path is written once, so that a file
//! handed over for one snapshot is the same in the next.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use meshtrail_trail::segment::{SegmentEnd, SegmentError};
use meshtrail_worker::message::{Call, Reply};
use meshtrail_worker::{Fault, QueryError};
use rustix::process::{Resource, getrlimit};

use super::link::{Answered, Link};
use super::remote::unexpected;
use crate::source::unreadable;

/// Files that stay open at most.
pub(super) const MAX_OPEN: usize = 2048;

/// The files handed over so far.
pub(super) struct OpenedFiles {
    link: Arc<Link>,
    open: Mutex<Open>,
    /// Files that stay open; past it the one opened longest ago is closed.
    most: usize,
    in_bucket: AtomicBool,
}

#[derive(Default)]
struct Open {
    by_path: HashMap<Arc<str>, Arc<File>>,
    order: VecDeque<Arc<str>>,
}

impl OpenedFiles {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let limit = getrlimit(Resource::Nofile).maximum.and_then(|limit| usize::try_from(limit).ok());
        let most = limit.map_or(MAX_OPEN, |limit| MAX_OPEN.min(limit / 2));
        Self { link, open: Mutex::default(), most, in_bucket: AtomicBool::new(false) }
    }

    /// The file under `path`; none where the server reads for this process.
    pub(super) async fn get(&self, snapshot: u64, path: &str) -> Result<Option<Arc<File>>, QueryError> {
        if self.in_bucket.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).by_path.get(path).cloned();
        if open.is_some() {
            return Ok(open);
        }
        match self.link.call(Call::Open { snapshot, path: path.to_owned() }).await? {
            Answered { reply: Reply::File, file: Some(file), .. } => Ok(Some(self.keep(path, file.into()))),
            Answered { reply: Reply::NoFile, .. } => {
                self.in_bucket.store(true, Ordering::Relaxed);
                Ok(None)
            }
            _ => Err(unexpected()),
        }
    }

    fn keep(&self, path: &str, file: File) -> Arc<File> {
        let (path, file): (Arc<str>, _) = (path.into(), Arc::new(file));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_path.insert(path.clone(), file.clone()).is_none() {
            open.order.push_back(path);
        }
        if open.order.len() > self.most
            && let Some(oldest) = open.order.pop_front()
        {
            open.by_path.remove(&oldest);
        }
        file
    }
}

/// The end of a file; its checksum is right.
pub(super) async fn read_end(path: &str, file: &Arc<File>, size: u64) -> Result<Bytes, QueryError> {
    let get = |range| async move {
        let mut parts = read_ranges(path, file, vec![range]).await.map_err(ReadFailed::Query)?;
        Ok(parts.pop().unwrap_or_default())
    };
    let end = SegmentEnd::read_with(path, size, get).await;
    end.map(|end| end.bytes).map_err(|error| match error {
        ReadFailed::Query(error) => error,
        ReadFailed::Segment(error) => unreadable(&error),
    })
}

enum ReadFailed {
    Query(QueryError),
    Segment(SegmentError),
}

impl From<SegmentError> for ReadFailed {
    fn from(error: SegmentError) -> Self {
        Self::Segment(error)
    }
}

/// Ranges of a file, in the order asked for, read on a thread that may wait for the disk.
pub(super) async fn read_ranges(
    path: &str,
    file: &Arc<File>,
    ranges: Vec<Range<u64>>,
) -> Result<Vec<Bytes>, QueryError> {
    let failed =
        |error: std::io::Error| QueryError::new(Fault::Trail, format!("{path} can't be read: {error}"));
    let file = file.clone();
    let work = move || ranges.iter().map(|range| read(&file, range)).collect::<std::io::Result<Vec<_>>>();
    let read = tokio::task::spawn_blocking(work);
    read.await.map_err(|error| failed(error.into()))?.map_err(failed)
}

fn read(file: &File, range: &Range<u64>) -> std::io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}
