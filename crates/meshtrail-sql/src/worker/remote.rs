//! A trail that is read through the server, and its files by this process where the server hands them over.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_worker::message::{Call, FromWorker, Reply};
use meshtrail_worker::{Fault, QueryError};

use super::link::{Answered, Link};
use super::opened::{self, OpenedFiles};
use crate::source::{LogEvent, Moment, Source};

/// The server's trail.
pub(super) struct Remote {
    link: Arc<Link>,
    files: Mutex<Known>,
    opened: Arc<OpenedFiles>,
}

/// The sealed files that the server told of before.
#[derive(Default)]
struct Known {
    files: Vec<SegmentFile>,
    sealed: u64,
}

/// A snapshot that the server holds for as long as this does.
struct RemoteMoment {
    link: Arc<Link>,
    opened: Arc<OpenedFiles>,
    snapshot: u64,
    first: u64,
    sealed: u64,
    end: u64,
    files: Vec<SegmentFile>,
}

pub(super) fn unexpected() -> QueryError {
    QueryError::new(Fault::Trail, "the server gave what was not asked for")
}

impl Remote {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { opened: Arc::new(OpenedFiles::new(link.clone())), link, files: Mutex::default() }
    }

    async fn take(&self) -> Result<RemoteMoment, QueryError> {
        let known = self.files.lock().unwrap_or_else(PoisonError::into_inner).sealed;
        let answered = self.link.call(Call::Snapshot { known }).await?;
        let Reply::Snapshot { snapshot, first, sealed, end, files } = answered.reply else {
            return Err(unexpected());
        };
        let mut known_files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if sealed >= known_files.sealed {
            // What was told meanwhile to another caller is told again here.
            let from = known_files.files.iter().rposition(|file| file.last < known).map_or(0, |at| at + 1);
            known_files.files.truncate(from);
            known_files.files.extend(files);
            known_files.files.retain(|file| file.last >= first);
            known_files.sealed = sealed;
        }
        let files = known_files.files.iter().filter(|file| file.last < sealed).cloned().collect();
        drop(known_files);
        let (link, opened) = (self.link.clone(), self.opened.clone());
        Ok(RemoteMoment { link, opened, snapshot, first, sealed, end, files })
    }
}

impl Source for Remote {
    fn moment(&self) -> BoxFuture<'_, Result<Arc<dyn Moment>, QueryError>> {
        async move { Ok(Arc::new(self.take().await?) as Arc<dyn Moment>) }.boxed()
    }
}

impl Moment for RemoteMoment {
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
            if let Some(file) = self.opened.get(self.snapshot, path).await? {
                return opened::read_end(path, &file, size).await;
            }
            let call = Call::End { snapshot: self.snapshot, path: path.to_owned(), size };
            match self.link.call(call).await? {
                Answered { reply: Reply::End { .. }, body, .. } => Ok(body),
                _ => Err(unexpected()),
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
            if let Some(file) = self.opened.get(self.snapshot, path).await? {
                return opened::read_ranges(path, &file, ranges).await;
            }
            let call = Call::Ranges { snapshot: self.snapshot, path: path.to_owned(), ranges };
            let Answered { reply: Reply::Ranges { lengths }, body: mut bytes, .. } =
                self.link.call(call).await?
            else {
                return Err(unexpected());
            };
            let mut parts = Vec::with_capacity(lengths.len());
            for length in lengths {
                let length = usize::try_from(length).ok().filter(|&length| length <= bytes.len());
                parts.push(bytes.split_to(length.ok_or_else(unexpected)?));
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
                let Answered { reply: Reply::Events { events, to }, body: mut leaves, .. } =
                    self.link.call(call).await?
                else {
                    return Err(unexpected());
                };
                for (index, family, length) in events {
                    let length = length as usize;
                    if length > leaves.len() {
                        return Err(unexpected());
                    }
                    found.push((index, family, leaves.split_to(length)));
                }
                if to <= from {
                    return Err(unexpected());
                }
                from = to;
            }
            Ok(found)
        };
        read.boxed()
    }
}

impl Drop for RemoteMoment {
    fn drop(&mut self) {
        self.link.send(&FromWorker::Release { snapshot: self.snapshot });
    }
}
