//! Rows that a client takes at its own pace, or not at all.
//!
//! - What is not taken in time is let go, whether it is asked for or not: a client that rests holds no query's place.
//! - A cancelled answer ends with an error, never as if it were whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion_postgres::pgwire::api::results::QueryResponse;
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionHandle};
use datafusion_postgres::pgwire::error::PgWireError;
use futures::channel::oneshot;
use futures::future::{Fuse, Shared};
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use meshtrail_worker::Budget;

use crate::budget::Exceeded;
use crate::worker::Guard;

/// Where the wire keeps what `set statement_timeout` says.
const STATEMENT_TIMEOUT: &str = "statement_timeout_ms";

/// Resolves to Ok once the client cancels what it asked last.
pub(super) type Cancelled = Shared<oneshot::Receiver<()>>;

/// From here on the client's cancelling concerns what is asked now. None before the client has signed in.
pub(super) async fn cancelled<C: ClientInfo + Sync>(client: &C) -> Option<Cancelled> {
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>()?;
    Some(handle.start_query().await.shared())
}

/// How long one answer of this client may take.
pub(super) fn time<C: ClientInfo + ?Sized>(client: &C, budget: &Budget) -> Duration {
    let wished = client.metadata().get(STATEMENT_TIMEOUT).and_then(|millis| millis.parse().ok());
    wished.map_or(budget.time, |millis| budget.time.min(Duration::from_millis(millis)))
}

/// A stream that holds statements for as long as it is there: they end with it.
pub(super) struct Guarded<S> {
    stream: S,
    #[expect(dead_code, reason = "held until the stream goes")]
    guards: Arc<[Guard]>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, guards: Arc<[Guard]>) -> Self {
        Self { stream, guards }
    }
}

impl<S: Stream + Unpin> Stream for Guarded<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.stream.poll_next_unpin(context)
    }
}

/// A stream that is let go when its time is out.
pub(super) struct Lent<S> {
    held: Arc<Mutex<Held<S>>>,
    time: Duration,
    is_over: bool,
    #[expect(dead_code, reason = "stops the clock when the stream goes")]
    clock: AbortOnDropHandle<()>,
}

/// The stream until it is let go, and who waits for it.
struct Held<S> {
    stream: Option<S>,
    waits: Option<Waker>,
}

impl<S> Held<S> {
    fn of(held: &Mutex<Self>) -> MutexGuard<'_, Self> {
        held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Send + 'static> Lent<S> {
    pub(super) fn new(stream: S, time: Duration) -> Self {
        let held = Arc::new(Mutex::new(Held { stream: Some(stream), waits: None }));
        let late = Arc::downgrade(&held);
        let clock = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(held) = late.upgrade() else { return };
            let (stream, waits) = {
                let mut held = Held::of(&held);
                (held.stream.take(), held.waits.take())
            };
            drop(stream);
            if let Some(waits) = waits {
                waits.wake();
            }
        });
        Self { held, time, is_over: false, clock: AbortOnDropHandle::new(clock) }
    }
}

impl<S: Stream + Unpin> Stream for Lent<S> {
    type Item = Result<S::Item, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = {
            let mut held = Held::of(&self.held);
            held.waits = Some(context.waker().clone());
            held.stream.as_mut().map(|stream| stream.poll_next_unpin(context))
        };
        match polled {
            Some(Poll::Ready(Some(item))) => Poll::Ready(Some(Ok(item))),
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(None)) => {
                self.is_over = true;
                // What it took is given back at once, whenever this is dropped.
                let over = Held::of(&self.held).stream.take();
                drop(over);
                Poll::Ready(None)
            }
            None => {
                self.is_over = true;
                Poll::Ready(Some(Err(Exceeded::Time { time: self.time }.into())))
            }
        }
    }
}

/// The same rows, lent for `time`, until the client cancels; the statements that make them end with them.
pub(super) fn lend(
    mut answer: QueryResponse,
    time: Duration,
    cancelled: Option<Cancelled>,
    guards: Arc<[Guard]>,
) -> QueryResponse {
    let rows = std::mem::replace(answer.data_rows(), Box::pin(stream::empty()));
    let mut rows = Lent::new(Guarded::new(rows, guards), time);
    let mut cancelled = cancelled.map_or_else(Fuse::terminated, FutureExt::fuse);
    let rows = stream::poll_fn(move |context| {
        if let Poll::Ready(Ok(())) = cancelled.poll_unpin(context) {
            return Poll::Ready(Some(Err(PgWireError::QueryCanceled)));
        }
        rows.poll_next_unpin(context)
            .map(|row| row.map(|row| row.unwrap_or_else(|late| Err(PgWireError::ApiError(Box::new(late))))))
    });
    *answer.data_rows() = Box::pin(rows);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_taken_in_time_is_let_go_and_says_so() {
        let held = Arc::new(());
        let guard = held.clone();
        let rows = stream::iter(0..3).map(move |row| {
            let _held = &guard;
            row
        });
        let mut rows = Lent::new(rows, Duration::from_millis(5));
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(rows.next().await.is_some_and(|row| row.is_err()));
        assert!(rows.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_when_the_time_is_out_is_told() {
        let mut rows = Lent::new(stream::pending::<u8>(), Duration::from_millis(5));
        assert!(rows.next().await.is_some_and(|row| row.is_err()));
    }
}
