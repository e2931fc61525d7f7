//! What the engine reads: a trail, one moment at a time.
//!
//! - [`Source`]: a trail that goes on; [`Moment`]: what is in it at one moment, and does not change any more.
//! - A [`Trail`] in this process is one; a worker's is its server, over a socket.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::Family;
use meshtrail_event::text::with_causes;
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_trail::{Snapshot, Trail};
use meshtrail_worker::{Fault, QueryError};

/// An event that is in no sealed file: its index, family and leaf.
pub type LogEvent = (u64, Family, Bytes);

/// A trail that goes on.
pub trait Source: Send + Sync + 'static {
    /// What is in it now: at least everything that was acknowledged before the call.
    fn moment(&self) -> BoxFuture<'_, Result<Arc<dyn Moment>, QueryError>>;
}

/// What a trail holds at one moment.
pub trait Moment: Send + Sync + 'static {
    /// The index of the first event that is there.
    fn first(&self) -> u64;
    /// The index after the last event in a sealed file.
    fn sealed(&self) -> u64;
    /// The index after the last event.
    fn end(&self) -> u64;
    /// The sealed files, by index.
    fn files(&self) -> Box<dyn DoubleEndedIterator<Item = &SegmentFile> + Send + '_>;
    /// The last bytes of a sealed file, which tell what is in it; their checksum is right.
    fn read_end<'a>(&'a self, path: &'a str, size: u64) -> BoxFuture<'a, Result<Bytes, QueryError>>;
    /// Ranges of a sealed file, in the order asked for.
    fn read_ranges<'a>(
        &'a self,
        path: &'a str,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, QueryError>>;
    /// The events in `range` that were in no sealed file, by index.
    fn events(&self, range: Range<u64>) -> BoxFuture<'_, Result<Vec<LogEvent>, QueryError>>;
}

/// What could not be read, as whoever asked hears it.
pub(crate) fn unreadable(error: &dyn std::error::Error) -> QueryError {
    QueryError::new(Fault::Trail, with_causes(error))
}

impl Source for Trail {
    fn moment(&self) -> BoxFuture<'_, Result<Arc<dyn Moment>, QueryError>> {
        futures::future::ready(Ok(Arc::new(TrailMoment(self.snapshot())) as Arc<dyn Moment>)).boxed()
    }
}

/// A moment of a trail in this process.
struct TrailMoment(Snapshot);

impl Moment for TrailMoment {
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
        let read = async move {
            let end = self.0.read_end(path, size).await;
            end.map(|end| end.bytes).map_err(|error| unreadable(&error))
        };
        read.boxed()
    }

    fn read_ranges<'a>(
        &'a self,
        path: &'a str,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'a, Result<Vec<Bytes>, QueryError>> {
        let read = async move { self.0.read_ranges(path, ranges).await.map_err(|error| unreadable(&error)) };
        read.boxed()
    }

    fn events(&self, range: Range<u64>) -> BoxFuture<'_, Result<Vec<LogEvent>, QueryError>> {
        let read = async move { self.0.events(range).await.map_err(|error| unreadable(&error)) };
        read.boxed()
    }
}
