//! What the engine reads: snapshots of a trail.
//!
//! - [`Source`]: a growing trail; [`SourceSnapshot`]: its immutable state at one moment.
//! - [`Trail`] implements it in this process; a worker reads its server's trail over a socket.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::{Family, TrailName};
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_trail::{Snapshot, Trail};
use meshtrail_worker::QueryError;

/// An event that is not in a sealed file: its index, family and leaf.
pub type LogEvent = (u64, Family, Bytes);

/// A trail to query.
pub trait Source: Send + Sync + 'static {
    /// Takes a snapshot that includes everything that was acknowledged before the call.
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn SourceSnapshot>, QueryError>>;
}

/// The state of a trail at one moment.
pub trait SourceSnapshot: Send + Sync + 'static {
    /// The trail's name.
    fn trail(&self) -> &TrailName;
    /// The index of the first event that retention has left.
    fn first(&self) -> u64;
    /// The index after the last event in a sealed file.
    fn sealed(&self) -> u64;
    /// The index after the last event.
    fn end(&self) -> u64;
    /// The sealed files, by index.
    fn files(&self) -> Box<dyn DoubleEndedIterator<Item = &SegmentFile> + Send + '_>;
    /// The last bytes of a sealed file: its footer and indexes, with their checksum verified.
    fn read_end<'a>(&'a self, path: &'a str, size: u64) -> BoxFuture<'a, Result<Bytes, QueryError>>;
    /// Ranges of a sealed file, in the order asked for.
    fn read_ranges<'a>(
        &'a self,
        path: &'a str,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, QueryError>>;
    /// The events in `range` that were not in a sealed file, by index.
    fn events(&self, range: Range<u64>) -> BoxFuture<'_, Result<Vec<LogEvent>, QueryError>>;
}

impl Source for Trail {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn SourceSnapshot>, QueryError>> {
        futures::future::ready(Ok(Arc::new(LocalSnapshot(self.snapshot())) as Arc<dyn SourceSnapshot>))
            .boxed()
    }
}

/// A snapshot of a trail in this process.
struct LocalSnapshot(Snapshot);

impl SourceSnapshot for LocalSnapshot {
    fn trail(&self) -> &TrailName {
        self.0.trail()
    }

    fn first(&self) -> u64 {
        self.0.first()
    }

    fn sealed(&self) -> u64 {
        self.0.sealed()
    }

    fn end(&self) -> u64 {
        self.0.end()
    }

    fn files(&self) -> Box<dyn DoubleEndedIterator<Item = &SegmentFile> + Send + '_> {
        Box::new(self.0.files())
    }

    fn read_end<'a>(&'a self, path: &'a str, size: u64) -> BoxFuture<'a, Result<Bytes, QueryError>> {
        let read = async move { Ok(self.0.read_end(path, size).await?.bytes) };
        read.boxed()
    }

    fn read_ranges<'a>(
        &'a self,
        path: &'a str,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, QueryError>> {
        let read = async move { Ok(self.0.read_ranges(path, ranges).await?) };
        read.boxed()
    }

    fn events(&self, range: Range<u64>) -> BoxFuture<'_, Result<Vec<LogEvent>, QueryError>> {
        let read = async move { Ok(self.0.events(range).await?) };
        read.boxed()
    }
}
