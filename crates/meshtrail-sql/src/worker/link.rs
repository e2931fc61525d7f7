//! The worker's end of the control socket.
//!
//! A thread of its own reads it, so that a server that goes ends this process also while every other thread computes.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use meshtrail_worker::frame;
use meshtrail_worker::message::{Call, FromWorker, Reply, ToWorker};
use meshtrail_worker::{Fault, QueryError};
use tokio::sync::oneshot;

type Answered = (Reply, Bytes);

/// Talks to the server.
pub(crate) struct Link {
    writer: Mutex<UnixStream>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answered>>>,
    calls: AtomicU64,
}

impl Link {
    /// Reads `control` on a thread; what is no reply comes out of the channel.
    pub(crate) fn start(control: UnixStream) -> io::Result<(Arc<Link>, Receiver<ToWorker>)> {
        let mut reader = control.try_clone()?;
        let writer = Mutex::new(control);
        let link = Arc::new(Link { writer, waiting: Mutex::default(), calls: AtomicU64::new(0) });
        let (send, commands) = channel();
        let replies = link.clone();
        std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            while let Ok(Some((message, body))) = frame::read::<ToWorker>(&mut reader) {
                match message {
                    ToWorker::Reply { call, reply } => replies.replied(call, (reply, body)),
                    command => {
                        if send.send(command).is_err() {
                            break;
                        }
                    }
                }
            }
            std::process::exit(0);
        })?;
        Ok((link, commands))
    }

    fn replied(&self, call: u64, answered: Answered) {
        let waits = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
        if let Some(waits) = waits {
            // Whoever called may have been dropped.
            let _gone = waits.send(answered);
        }
    }

    /// Says something; a server that is gone ends this process by itself.
    pub(crate) fn send(&self, message: &FromWorker) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = frame::write(&mut *writer, message);
    }

    /// Asks the server for something.
    pub(crate) async fn call(&self, what: Call) -> Result<Answered, QueryError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (send, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(call, send);
        self.send(&FromWorker::Call { call, what });
        match answered.await {
            Ok((Reply::Error(error), _)) => Err(error),
            Ok(answered) => Ok(answered),
            Err(_) => Err(QueryError::new(Fault::Trail, "the server gave no answer")),
        }
    }
}
