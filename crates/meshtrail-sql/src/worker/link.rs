//! The worker's end of the control socket.
//!
//! A dedicated thread reads it, so that this process exits with the server even while all other threads compute.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use meshtrail_worker::frame;
use meshtrail_worker::message::{Call, FromWorker, Reply, ToWorker};
use meshtrail_worker::{Fault, QueryError};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::sync::oneshot;

/// A reply, the bytes that follow it, and a file that was sent with it.
pub(super) struct ReplyParts {
    pub(super) reply: Reply,
    pub(super) body: Bytes,
    pub(super) file: Option<OwnedFd>,
}

/// Files in one read: the kernel ends a read before the data with the next file.
const MAX_FILES: usize = 1;

/// The connection to the server.
pub(crate) struct Link {
    writer: Mutex<UnixStream>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<ReplyParts>>>,
    calls: AtomicU64,
}

/// Reads the socket and collects the files that are sent with messages.
struct Reader {
    socket: UnixStream,
    files: VecDeque<OwnedFd>,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.socket, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        Ok(received.bytes)
    }
}

impl Link {
    /// Reads `control` on a thread; messages other than replies are sent to the channel.
    pub(crate) fn start(control: UnixStream) -> io::Result<(Arc<Link>, Receiver<ToWorker>)> {
        let mut reader = Reader { socket: control.try_clone()?, files: VecDeque::new() };
        let writer = Mutex::new(control);
        let link = Arc::new(Link { writer, waiting: Mutex::default(), calls: AtomicU64::new(0) });
        let (send, commands) = channel();
        let replies = link.clone();
        std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            while let Ok(Some((message, body))) = frame::read::<ToWorker>(&mut reader) {
                match message {
                    ToWorker::Reply { call, reply } => {
                        let file = if matches!(reply, Reply::File) { reader.files.pop_front() } else { None };
                        replies.complete_call(call, ReplyParts { reply, body, file });
                    }
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

    fn complete_call(&self, call: u64, reply: ReplyParts) {
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
    pub(super) async fn call(&self, what: Call) -> Result<ReplyParts, QueryError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (send, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(call, send);
        self.send(&FromWorker::Call { call, what });
        match reply.await {
            Ok(ReplyParts { reply: Reply::Error(error), .. }) => Err(error),
            Ok(reply) => Ok(reply),
            Err(_) => Err(QueryError::new(Fault::Trail, "the server gave no answer")),
        }
    }
}
