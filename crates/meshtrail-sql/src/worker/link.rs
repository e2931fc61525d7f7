//! The worker's end of the control socket.
//!
//! A thread of its own reads it, so that a server that goes ends this process also while every other thread computes.

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

/// What the server gives to a call.
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) body: Bytes,
    /// The file that came with it.
    pub(super) file: Option<OwnedFd>,
}

/// Files that come with one piece of a message: the kernel ends a piece where the next file begins.
const MAX_FILES: usize = 1;

/// Talks to the server.
pub(crate) struct Link {
    writer: Mutex<UnixStream>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answered>>>,
    calls: AtomicU64,
}

/// Reads the socket, and takes what files come along.
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
    /// Reads `control` on a thread; what is no reply comes out of the channel.
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
                        replies.replied(call, Answered { reply, body, file });
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
    pub(super) async fn call(&self, what: Call) -> Result<Answered, QueryError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (send, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(call, send);
        self.send(&FromWorker::Call { call, what });
        match answered.await {
            Ok(Answered { reply: Reply::Error(error), .. }) => Err(error),
            Ok(answered) => Ok(answered),
            Err(_) => Err(QueryError::new(Fault::Trail, "the server gave no answer")),
        }
    }
}
