//! The ack stream of protocol v2: one JSON object per frame.
//!
//! A new ack replaces one that was not sent yet, so a node that does not read costs no memory.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::json;

/// The next frame of an ack stream.
#[derive(Default)]
pub(crate) struct AckSlot(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    ack: Option<u64>,
    /// The last frame, if the recording failed.
    error: Option<Bytes>,
    ended: bool,
    waker: Option<Waker>,
}

impl AckSlot {
    /// Acknowledges that this many bytes are durable; 0 is a keep-alive.
    pub(crate) fn ack(&self, bytes: u64) {
        self.change(|pending| pending.ack = Some(bytes));
    }

    /// Ends the stream with an error frame.
    pub(crate) fn fail(&self, frame: Bytes) {
        self.change(|pending| {
            pending.error = Some(frame);
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
        // A keep-alive is a frame without members.
        if let Some(ack) = pending.ack.take() {
            let frame = if ack == 0 { json!({}) } else { json!({ "ack": ack }) };
            return Poll::Ready(Some(format!("{frame}\n").into()));
        }
        if let Some(frame) = pending.error.take() {
            return Poll::Ready(Some(frame));
        }
        if pending.ended {
            return Poll::Ready(None);
        }
        pending.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A response body.
pub(crate) enum AnswerBody {
    /// All bytes are known.
    Whole(Option<Bytes>),
    /// Acks as they come.
    Acks(Arc<AckSlot>),
}

impl Body for AnswerBody {
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

/// A body with a guard, which is dropped when the body was sent or is given up.
pub(super) struct GuardedBody<T> {
    pub(super) body: AnswerBody,
    pub(super) _guard: T,
}

impl<T: Unpin> Body for GuardedBody<T> {
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
