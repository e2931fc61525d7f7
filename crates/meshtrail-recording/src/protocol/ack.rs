//! The ack stream: one JSON object per frame, the newest replaces one that was not sent yet.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::json;

/// What is to be sent next. It holds one ack at most, so a peer that does not read costs nothing.
#[derive(Default)]
pub(crate) struct AckSlot(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    ack: Option<u64>,
    error: Option<String>,
    ended: bool,
    waker: Option<Waker>,
}

impl AckSlot {
    /// Says that this many bytes are durable.
    pub(crate) fn ack(&self, bytes: u64) {
        self.change(|pending| pending.ack = Some(bytes));
    }

    /// Says that recording failed, and ends the stream.
    pub(crate) fn fail(&self, message: String) {
        self.change(|pending| {
            pending.error = Some(message);
            pending.ended = true;
        });
    }

    /// Ends the stream.
    pub(crate) fn end(&self) {
        self.change(|pending| pending.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.pending();
        change(&mut pending);
        let waker = pending.waker.take();
        drop(pending);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut pending = self.pending();
        // An ack of nothing is a frame without members: a keep-alive.
        if let Some(ack) = pending.ack.take() {
            let frame = if ack == 0 { json!({}) } else { json!({ "ack": ack }) };
            return Poll::Ready(Some(format!("{frame}\n").into()));
        }
        if let Some(error) = pending.error.take() {
            return Poll::Ready(Some(format!("{}\n", json!({ "error": error })).into()));
        }
        if pending.ended {
            return Poll::Ready(None);
        }
        pending.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A response body: either known whole, or acks as they come.
pub(super) enum Answer {
    Whole(Option<Bytes>),
    Acks(Arc<AckSlot>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Acks(slot) => slot.poll(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(bytes) => {
                hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Acks(_) => hyper::body::SizeHint::default(),
        }
    }
}

/// A body that keeps something until it is sent or given up.
pub(super) struct Held<T> {
    pub(super) body: Answer,
    pub(super) _in_use: T,
}

impl<T: Unpin> Body for Held<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
