//! Result streams with a deadline.
//!
//! - Unread rows are dropped at the deadline, whether the client polls or not: an idle client can't occupy a query slot.
//! - A cancelled answer ends with an error, so that it never looks complete.

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
use crate::worker::StatementPermit;

/// The key in the client's metadata that holds the value of `set statement_timeout`.
const STATEMENT_TIMEOUT: &str = "statement_timeout_ms";

/// Resolves to `Ok` when the client cancels its current query.
pub(super) type CancelSignal = Shared<oneshot::Receiver<()>>;

/// Starts a query that the client may cancel, and returns its signal; none before the startup has finished.
pub(super) async fn cancel_signal<C: ClientInfo + Sync>(client: &C) -> Option<CancelSignal> {
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>()?;
    Some(handle.start_query().await.shared())
}

/// The time limit of this client's statements: the budget's, or `statement_timeout` if that is shorter.
pub(super) fn statement_time<C: ClientInfo + ?Sized>(client: &C, budget: &Budget) -> Duration {
    let wished = client.metadata().get(STATEMENT_TIMEOUT).and_then(|millis| millis.parse().ok());
    wished.map_or(budget.time, |millis| budget.time.min(Duration::from_millis(millis)))
}

/// A stream that owns its statements' permits: they are released when it is dropped.
pub(super) struct GuardedRows<S> {
    stream: S,
    #[expect(dead_code, reason = "held until the stream goes")]
    permits: Arc<[StatementPermit]>,
}

impl<S> GuardedRows<S> {
    pub(super) fn new(stream: S, permits: Arc<[StatementPermit]>) -> Self {
        Self { stream, permits }
    }
}

impl<S: Stream + Unpin> Stream for GuardedRows<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.stream.poll_next_unpin(context)
    }
}

/// A stream that is dropped at its deadline.
pub(super) struct TimedRows<S> {
    state: Arc<Mutex<State<S>>>,
    time: Duration,
    is_over: bool,
    #[expect(dead_code, reason = "stops the clock when the stream goes")]
    clock: AbortOnDropHandle<()>,
}

/// The stream, until it ends or the deadline passes, and the task that waits for it.
struct State<S> {
    stream: Option<S>,
    waker: Option<Waker>,
}

impl<S> State<S> {
    fn of(state: &Mutex<Self>) -> MutexGuard<'_, Self> {
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Send + 'static> TimedRows<S> {
    pub(super) fn new(stream: S, time: Duration) -> Self {
        let state = Arc::new(Mutex::new(State { stream: Some(stream), waker: None }));
        let late = Arc::downgrade(&state);
        let clock = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(state) = late.upgrade() else { return };
            let (stream, waker) = {
                let mut state = State::of(&state);
                (state.stream.take(), state.waker.take())
            };
            drop(stream);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        Self { state, time, is_over: false, clock: AbortOnDropHandle::new(clock) }
    }
}

impl<S: Stream + Unpin> Stream for TimedRows<S> {
    type Item = Result<S::Item, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = {
            let mut state = State::of(&self.state);
            state.waker = Some(context.waker().clone());
            state.stream.as_mut().map(|stream| stream.poll_next_unpin(context))
        };
        match polled {
            Some(Poll::Ready(Some(item))) => Poll::Ready(Some(Ok(item))),
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(None)) => {
                self.is_over = true;
                // Releases its resources now, not when this value is dropped.
                let over = State::of(&self.state).stream.take();
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

/// Limits `answer` to `time` and to the client's cancellation; its statements end with its rows.
pub(super) fn with_deadline(
    mut answer: QueryResponse,
    time: Duration,
    cancelled: Option<CancelSignal>,
    permits: Arc<[StatementPermit]>,
) -> QueryResponse {
    let rows = std::mem::replace(answer.data_rows(), Box::pin(stream::empty()));
    let mut rows = TimedRows::new(GuardedRows::new(rows, permits), time);
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
        let mut rows = TimedRows::new(rows, Duration::from_millis(5));
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(rows.next().await.is_some_and(|row| row.is_err()));
        assert!(rows.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_when_the_time_is_out_is_told() {
        let mut rows = TimedRows::new(stream::pending::<u8>(), Duration::from_millis(5));
        assert!(rows.next().await.is_some_and(|row| row.is_err()));
    }
}
