//! The server's trail, read over the control socket; its files directly, if the server sends them open.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::TrailName;
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_worker::message::{Call, FromWorker, Reply};
use meshtrail_worker::{Fault, QueryError};

use super::file_cache::{self, FileCache};
use super::link::{Link, ReplyParts};
use crate::source::{LogEvent, Source, SourceSnapshot};

/// A [`Source`] that reads the server's trail.
pub(super) struct Remote {
    link: Arc<Link>,
    files: Mutex<KnownFiles>,
    open_files: Arc<FileCache>,
}

/// The sealed files that the server has listed so far.
#[derive(Default)]
struct KnownFiles {
    files: Vec<SegmentFile>,
    sealed: u64,
}

/// A snapshot that the server holds until this is dropped.
struct RemoteSnapshot {
    link: Arc<Link>,
    open_files: Arc<FileCache>,
    snapshot: u64,
    trail: TrailName,
    first: u64,
    sealed: u64,
    end: u64,
    files: Vec<SegmentFile>,
}

pub(super) fn unexpected_reply() -> QueryError {
    QueryError::new(Fault::Trail, "the server gave what was not asked for")
}

impl Remote {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { open_files: Arc::new(FileCache::new(link.clone())), link, files: Mutex::default() }
    }

    async fn take_snapshot(&self) -> Result<RemoteSnapshot, QueryError> {
        let known = self.files.lock().unwrap_or_else(PoisonError::into_inner).sealed;
        let reply = self.link.call(Call::Snapshot { known }).await?.reply;
        let Reply::Snapshot { snapshot, trail, first, sealed, end, files } = reply else {
            return Err(unexpected_reply());
        };
        let mut known_files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if sealed >= known_files.sealed {
            // Files that a concurrent call added are listed again in this reply.
            let from = known_files.files.iter().rposition(|file| file.last < known).map_or(0, |at| at + 1);
            known_files.files.truncate(from);
            known_files.files.extend(files);
            known_files.files.retain(|file| file.last >= first);
            known_files.sealed = sealed;
        }
        let files = known_files.files.iter().filter(|file| file.last < sealed).cloned().collect();
        drop(known_files);
        let (link, open_files) = (self.link.clone(), self.open_files.clone());
        Ok(RemoteSnapshot { link, open_files, snapshot, trail, first, sealed, end, files })
    }
}

impl Source for Remote {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn SourceSnapshot>, QueryError>> {
        async move { Ok(Arc::new(self.take_snapshot().await?) as Arc<dyn SourceSnapshot>) }.boxed()
    }
}

impl SourceSnapshot for RemoteSnapshot {
    fn trail(&self) -> &TrailName {
        &self.trail
    }

    fn first(&self) -> u64 {
        self.first
    }

    fn sealed(&self) -> u64 {
        self.sealed
    }

    fn end(&self) -> u64 {
        self.end
    }

    fn files(&self) -> Box<dyn DoubleEndedIterator<Item = &SegmentFile> + Send + '_> {
        Box::new(self.files.iter())
    }

    fn read_end<'a>(&'a self, path: &'a str, size: u64) -> BoxFuture<'a, Result<Bytes, QueryError>> {
        let read = async move {
            if let Some(file) = self.open_files.get(self.snapshot, path).await? {
                return file_cache::read_end(path, &file, size).await;
            }
            let call = Call::End { snapshot: self.snapshot, path: path.to_owned(), size };
            match self.link.call(call).await? {
                ReplyParts { reply: Reply::End { .. }, body, .. } => Ok(body),
                _ => Err(unexpected_reply()),
            }
        };
        read.boxed()
    }

    fn read_ranges<'a>(
        &'a self,
        path: &'a str,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, QueryError>> {
        let read = async move {
            if let Some(file) = self.open_files.get(self.snapshot, path).await? {
                return file_cache::read_ranges(path, &file, ranges).await;
            }
            let call = Call::Ranges { snapshot: self.snapshot, path: path.to_owned(), ranges };
            let ReplyParts { reply: Reply::Ranges { lengths }, body: mut bytes, .. } =
                self.link.call(call).await?
            else {
                return Err(unexpected_reply());
            };
            let mut parts = Vec::with_capacity(lengths.len());
            for length in lengths {
                let length = usize::try_from(length).ok().filter(|&length| length <= bytes.len());
                parts.push(bytes.split_to(length.ok_or_else(unexpected_reply)?));
            }
            Ok(parts)
        };
        read.boxed()
    }

    fn events(&self, range: Range<u64>) -> BoxFuture<'_, Result<Vec<LogEvent>, QueryError>> {
        let read = async move {
            let (mut found, mut from) = (Vec::new(), range.start);
            while from < range.end {
                let call = Call::Events { snapshot: self.snapshot, range: from..range.end };
                let ReplyParts { reply: Reply::Events { events, to }, body: mut leaves, .. } =
                    self.link.call(call).await?
                else {
                    return Err(unexpected_reply());
                };
                for (index, family, length) in events {
                    let length = length as usize;
                    if length > leaves.len() {
                        return Err(unexpected_reply());
                    }
                    found.push((index, family, leaves.split_to(length)));
                }
                if to <= from {
                    return Err(unexpected_reply());
                }
                from = to;
            }
            Ok(found)
        };
        read.boxed()
    }
}

impl Drop for RemoteSnapshot {
    fn drop(&mut self) {
        self.link.send(&FromWorker::Release { snapshot: self.snapshot });
    }
}
