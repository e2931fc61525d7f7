//! The worker's end of the control socket.
//!
//! A dedicated thread reads it, so that this process exits with the server even while all other threads compute.

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

type ReplyWithBody = (Reply, Bytes);

/// The connection to the server.
pub(crate) struct Link {
    writer: Mutex<UnixStream>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<ReplyWithBody>>>,
    calls: AtomicU64,
}

impl Link {
    /// Reads `control` on a thread; messages other than replies are sent to the channel.
    pub(crate) fn start(control: UnixStream) -> io::Result<(Arc<Link>, Receiver<ToWorker>)> {
        let mut reader = control.try_clone()?;
        let writer = Mutex::new(control);
        let link = Arc::new(Link { writer, waiting: Mutex::default(), calls: AtomicU64::new(0) });
        let (send, commands) = channel();
        let replies = link.clone();
        std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            while let Ok(Some((message, body))) = frame::read::<ToWorker>(&mut reader) {
                match message {
                    ToWorker::Reply { call, reply } => replies.complete_call(call, (reply, body)),
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

    fn complete_call(&self, call: u64, reply: ReplyWithBody) {
        let waiter = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
        if let Some(waiter) = waiter {
            // The caller may have been dropped.
            let _gone = waiter.send(reply);
        }
    }

    /// Sends a message. Errors are ignored: the reading thread exits the process when the server is gone.
    pub(crate) fn send(&self, message: &FromWorker) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = frame::write(&mut *writer, message);
    }

    /// Sends a call and waits for its reply.
    pub(crate) async fn call(&self, what: Call) -> Result<ReplyWithBody, QueryError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (send, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(call, send);
        self.send(&FromWorker::Call { call, what });
        match reply.await {
            Ok((Reply::Error(error), _)) => Err(error),
            Ok(reply) => Ok(reply),
            Err(_) => Err(QueryError::new(Fault::Trail, "the server gave no answer")),
        }
    }
}
