//! Open sealed files: the server opens them and sends their descriptors, this process reads them.
//!
//! The server opens only files of the snapshot, and only for reading. A path is written once, so that the file of one
//! snapshot is the same in the next.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use meshtrail_trail::segment::SegmentEnd;
use meshtrail_trail::{run_blocking, store};
use meshtrail_worker::message::{Call, Reply};
use meshtrail_worker::{Fault, QueryError};
use rustix::process::{Resource, getrlimit};

use super::link::{Link, ReplyParts};
use super::remote::unexpected_reply;

/// The largest number of files that stay open.
pub(super) const MAX_OPEN: usize = 2048;

/// The files that the server has sent.
pub(super) struct FileCache {
    link: Arc<Link>,
    files: Mutex<OpenFiles>,
    /// The number of files that stay open; beyond it the oldest is closed.
    limit: usize,
    in_bucket: AtomicBool,
}

#[derive(Default)]
struct OpenFiles {
    by_path: HashMap<Arc<str>, Arc<File>>,
    order: VecDeque<Arc<str>>,
}

impl FileCache {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let limit = getrlimit(Resource::Nofile).maximum.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.map_or(MAX_OPEN, |limit| MAX_OPEN.min(limit / 2));
        Self { link, files: Mutex::default(), limit, in_bucket: AtomicBool::new(false) }
    }

    /// Returns the file at `path`; none if the store is a bucket, which only the server can read.
    pub(super) async fn get(&self, snapshot: u64, path: &str) -> Result<Option<Arc<File>>, QueryError> {
        if self.in_bucket.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let open = self.files.lock().unwrap_or_else(PoisonError::into_inner).by_path.get(path).cloned();
        if open.is_some() {
            return Ok(open);
        }
        match self.link.call(Call::Open { snapshot, path: path.to_owned() }).await? {
            ReplyParts { reply: Reply::File, file: Some(file), .. } => {
                Ok(Some(self.insert(path, file.into())))
            }
            ReplyParts { reply: Reply::NoFile, .. } => {
                self.in_bucket.store(true, Ordering::Relaxed);
                Ok(None)
            }
            _ => Err(unexpected_reply()),
        }
    }

    fn insert(&self, path: &str, file: File) -> Arc<File> {
        let (path, file): (Arc<str>, _) = (path.into(), Arc::new(file));
        let mut open = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_path.insert(path.clone(), file.clone()).is_none() {
            open.order.push_back(path);
        }
        if open.order.len() > self.limit
            && let Some(oldest) = open.order.pop_front()
        {
            open.by_path.remove(&oldest);
        }
        file
    }
}

/// Reads the end of a file and checks its checksum.
pub(super) async fn read_end(path: &str, file: &Arc<File>, size: u64) -> Result<Bytes, QueryError> {
    let get = |range| async move {
        let mut parts = read_ranges(path, file, vec![range]).await?;
        Ok::<_, QueryError>(parts.pop().unwrap_or_default())
    };
    Ok(SegmentEnd::read_with(path, size, get).await?.bytes)
}

/// Reads ranges of a file on a thread that may block; returns them in the given order.
pub(super) async fn read_ranges(
    path: &str,
    file: &Arc<File>,
    ranges: Vec<Range<u64>>,
) -> Result<Vec<Bytes>, QueryError> {
    let file = file.clone();
    let read = run_blocking(move || store::read_ranges(&file, &ranges)).await;
    read.map_err(|error| QueryError::new(Fault::Trail, format!("{path} can't be read: {error}")))
}
