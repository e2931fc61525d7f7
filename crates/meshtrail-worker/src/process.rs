//! One worker process: its start, its two sockets, and its end.
//!
//! - The worker's standard input is the control socket, its standard output the data socket; it inherits nothing else.
//! - Dropping [`Process`] kills the process, waits for it and removes its spill folder.
//! - The reason of a kill is stored, so that the error of the query names it.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{mpsc, watch};

use crate::calls::{CallHandler, ReplyParts};
use crate::frame;
use crate::message::{FromWorker, Setup, ToWorker, VERSION};
use crate::query::{Fault, QueryError};
use crate::watch::{Member, ResourceWatch};

/// The send buffer of a socket, large enough that the sides don't wake each other for each page.
const SOCKET_BUFFER: usize = 1 << 20;
/// Messages that wait to be written; beyond it senders wait.
const MAX_REPLIES_WAITING: usize = 16;
/// Messages of a worker that wait to be read; beyond it the worker waits.
const MAX_EVENTS_WAITING: usize = 64;
/// How much of the end of a worker's standard error is kept, in bytes.
const STDERR_TAIL: usize = 4096;
/// How long a new process may take until it is ready.
const READY_TIME: Duration = Duration::from_secs(20);
/// How long a process may take to end once its sockets are closed.
const EXIT_TIME: Duration = Duration::from_secs(2);

/// Why a worker was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// The query exceeded its time limit.
    Time(Duration),
    /// All workers together exceeded the memory limit, and this one used the most.
    Memory(usize),
    /// All workers together exceeded the disk limit, and this one used the most.
    Disk(u64),
}

impl KillReason {
    fn error(self) -> QueryError {
        match self {
            KillReason::Time(time) => QueryError::new(Fault::Budget, time_message(time)),
            KillReason::Memory(bytes) => QueryError::new(Fault::Budget, memory_message(bytes)),
            KillReason::Disk(bytes) => QueryError::new(
                Fault::Budget,
                format!("the query wrote more to disk than it may: all together have {} MB", bytes >> 20),
            ),
        }
    }
}

pub(crate) fn time_message(time: Duration) -> String {
    format!("the query took longer than {} s: narrow it, by time above all", time.as_secs_f32())
}

fn memory_message(bytes: usize) -> String {
    format!(
        "the query took more memory than it may (query.memory_mb is {}): narrow it, or ask for less at once",
        bytes >> 20
    )
}

/// Kills a process and stores the reason; the first reason is kept.
#[derive(Debug, Clone)]
pub(crate) struct Killer {
    reason: Arc<OnceLock<KillReason>>,
    kill: mpsc::Sender<()>,
}

impl Killer {
    pub(crate) fn kill(&self, reason: KillReason) {
        let _first = self.reason.set(reason);
        // One message is enough: a second finds the channel full.
        let _told = self.kill.try_send(());
    }

    pub(crate) fn is_of_same_process(&self, other: &Self) -> bool {
        self.kill.same_channel(&other.kill)
    }
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) data: UnixStream,
    pub(crate) events: mpsc::Receiver<FromWorker>,
    pub(crate) calls: Arc<CallHandler>,
    control: Control,
    killer: Killer,
    exited: watch::Receiver<Option<ExitStatus>>,
    standard_error: Arc<Mutex<Vec<u8>>>,
    memory: usize,
    #[expect(dead_code, reason = "counted for as long as the process lives")]
    member: Member,
}

impl Process {
    /// Starts a worker and waits until it is ready.
    pub(crate) async fn start(
        program: &Path,
        setup: &Setup,
        calls: Arc<CallHandler>,
        watch: &ResourceWatch,
    ) -> Result<Process, QueryError> {
        let failed = |error: io::Error| {
            QueryError::new(Fault::Trail, format!("{} can't be started: {error}", program.display()))
        };
        let spill = SpillFolder::make(&setup.spill).map_err(failed)?;
        let setup = Setup { spill: spill.0.clone(), ..setup.clone() };
        let (control, control_end) = socket_pair().map_err(failed)?;
        let (data, data_end) = socket_pair().map_err(failed)?;
        let arguments = serde_json::to_string(&setup).map_err(|error| failed(error.into()))?;
        let mut child = Command::new(program)
            .arg("worker")
            .arg(arguments)
            .env_clear()
            // The allocator would set a gigabyte of addresses aside, which are counted here.
            .env("MIMALLOC_ARENA_RESERVE", "32M")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(control_end)))
            .stdout(Stdio::from(OwnedFd::from(data_end)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let id = child.id().unwrap_or_default();
        let standard_error = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_stderr(stderr, Arc::clone(&standard_error), id));
        }
        let (kill, kills) = mpsc::channel(1);
        let killer = Killer { reason: Arc::default(), kill };
        let (exit, exited) = watch::channel(None);
        let member = watch.add(id, killer.clone(), spill.0.clone());
        tokio::spawn(supervise(child, kills, exit, spill));
        let (reading, writing) = UnixStream::from_std(control).map_err(failed)?.into_split();
        let (control, replies) = mpsc::channel(MAX_REPLIES_WAITING);
        let control = Control(control);
        tokio::spawn(write(writing, replies));
        let (send, events) = mpsc::channel(MAX_EVENTS_WAITING);
        tokio::spawn(read(reading, calls.clone(), control.clone(), send));
        let data = UnixStream::from_std(data).map_err(failed)?;
        let memory = watch.memory();
        let mut process =
            Process { data, events, calls, control, killer, exited, standard_error, memory, member };
        process.ready().await?;
        Ok(process)
    }

    async fn ready(&mut self) -> Result<(), QueryError> {
        match tokio::time::timeout(READY_TIME, self.events.recv()).await {
            Ok(Some(FromWorker::Ready { version, confined })) if version == VERSION => {
                tracing::debug!(confined, "a SQL worker is ready");
                Ok(())
            }
            Ok(Some(FromWorker::Ready { version, .. })) => Err(QueryError::new(
                Fault::Missing,
                format!(
                    "meshtrail-sql is of version {version}, this program of {VERSION}: build both from the same sources"
                ),
            )),
            Ok(Some(FromWorker::Failed(error))) => Err(error),
            Ok(_) => Err(self.exit_error().await),
            Err(_) => Err(QueryError::new(
                Fault::Trail,
                format!("meshtrail-sql was not ready within {} s", READY_TIME.as_secs()),
            )),
        }
    }

    /// Whether it still runs, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        !self.events.is_closed() && self.exited.borrow().is_none()
    }

    pub(crate) fn killer(&self) -> &Killer {
        &self.killer
    }

    /// A sender of messages to the worker.
    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    pub(crate) async fn send(&self, message: &ToWorker) -> Result<(), QueryError> {
        if self.control.send(message).await { Ok(()) } else { Err(self.exit_error().await) }
    }

    /// Postgres' SQLSTATE for the end of the process.
    pub(crate) fn sqlstate(&self, error: &QueryError) -> &'static str {
        match (self.killer.reason.get(), error.fault) {
            (Some(KillReason::Time(_)), _) => "57014",
            (Some(KillReason::Disk(_)), _) => "53100",
            (Some(KillReason::Memory(_)), _) | (None, Fault::Budget) => "53200",
            (None, _) => "58000",
        }
    }

    /// The reason why the process ended, once its sockets are closed.
    pub(crate) async fn exit_error(&self) -> QueryError {
        if let Some(reason) = self.killer.reason.get() {
            return reason.error();
        }
        let mut exited = self.exited.clone();
        let status = tokio::time::timeout(EXIT_TIME, exited.wait_for(Option::is_some)).await;
        let status = status.ok().and_then(|ended| ended.ok().and_then(|status| *status));
        if let Some(reason) = self.killer.reason.get() {
            return reason.error();
        }
        let stderr = self.standard_error.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        describe_exit(status, &stderr, self.memory)
    }
}

/// The error of a query whose process ended by itself.
fn describe_exit(status: Option<ExitStatus>, stderr: &str, memory: usize) -> QueryError {
    // The message of Rust's runtime when an allocation fails.
    if stderr.contains("memory allocation of") {
        return QueryError::new(Fault::Budget, memory_message(memory));
    }
    let signal = status.and_then(|status| status.signal());
    if signal == Some(rustix::process::Signal::XCPU.as_raw()) {
        return QueryError::new(Fault::Budget, "the query took more of the processor than it may: narrow it");
    }
    let how = match (signal, status.and_then(|status| status.code())) {
        (Some(signal), _) => format!("by signal {signal}"),
        (None, Some(code)) => format!("with status {code}"),
        (None, None) => "without a status".to_owned(),
    };
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let text = if last.is_empty() { String::new() } else { format!(": {last}") };
    QueryError::new(Fault::Died, format!("the process that answered ended {how}{text}"))
}

/// Sends messages to a worker.
#[derive(Debug, Clone)]
pub(crate) struct Control(mpsc::Sender<Outgoing>);

/// An encoded message, and a file that is sent with it.
#[derive(Debug)]
struct Outgoing {
    frame: Vec<u8>,
    file: Option<File>,
}

impl Control {
    /// Sends a message; returns whether the worker still accepts messages.
    pub(crate) async fn send(&self, message: &ToWorker) -> bool {
        self.send_with(message, &[], None).await
    }

    async fn send_with(&self, message: &ToWorker, body: &[Bytes], file: Option<File>) -> bool {
        let Ok(frame) = frame::encode(message, body) else { return false };
        self.0.send(Outgoing { frame, file }).await.is_ok()
    }
}

fn socket_pair() -> io::Result<(StdUnixStream, StdUnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    for end in [&ours, &theirs] {
        socket2::SockRef::from(end).set_send_buffer_size(SOCKET_BUFFER)?;
    }
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

async fn write(mut into: OwnedWriteHalf, mut messages: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { frame, file }) = messages.recv().await {
        let sent = match file {
            Some(file) => send_file(into.as_ref(), &frame, &file).await,
            None => Ok(0),
        };
        let Ok(sent) = sent else { return };
        if into.write_all(&frame[sent..]).await.is_err() {
            return;
        }
    }
}

/// Sends the start of `frame`, with `file` attached to its first byte; returns the number of bytes sent.
async fn send_file(into: &UnixStream, frame: &[u8], file: &File) -> io::Result<usize> {
    loop {
        into.writable().await?;
        let sent = into.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file.as_fd()];
            let _fits = control.push(SendAncillaryMessage::ScmRights(&files));
            Ok(sendmsg(into, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL)?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// Answers calls and forwards other messages, until the worker closes its end or sends an invalid message.
async fn read(
    mut from: OwnedReadHalf,
    calls: Arc<CallHandler>,
    control: Control,
    events: mpsc::Sender<FromWorker>,
) {
    loop {
        match frame::read_async::<FromWorker>(&mut from).await {
            Ok(Some(FromWorker::Call { call, what })) => {
                let (calls, control) = (calls.clone(), control.clone());
                let Some(slot) = calls.acquire_slot().await else { return };
                tokio::spawn(async move {
                    let ReplyParts { reply, body, file } = calls.answer(what).await;
                    // A worker that is gone needs no reply.
                    let _sent = control.send_with(&ToWorker::Reply { call, reply }, &body, file).await;
                    drop(slot);
                });
            }
            Ok(Some(FromWorker::Release { snapshot })) => calls.release(snapshot),
            Ok(Some(FromWorker::StatementEnded { statement })) => calls.end_statement(statement),
            Ok(Some(event)) => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a worker said what is no message");
                return;
            }
        }
    }
}

/// Logs a worker's standard error, and keeps its end.
async fn log_stderr(mut from: ChildStderr, tail: Arc<Mutex<Vec<u8>>>, id: u32) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        tracing::warn!(worker = id, text = text.trim_end(), "a SQL worker says");
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&buffer[..read]);
        let gone = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..gone);
    }
}

/// Waits for the process to end; kills it on a message, or when all senders are gone.
async fn supervise(
    mut child: Child,
    mut kills: mpsc::Receiver<()>,
    exit: watch::Sender<Option<ExitStatus>>,
    spill: SpillFolder,
) {
    let mut is_killed = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = kills.recv(), if !is_killed => {
                is_killed = true;
                // It may have ended just now.
                let _sent = child.start_kill();
            }
        }
    };
    drop(spill);
    exit.send_replace(status.ok());
}

/// A worker's spill folder; removed when dropped.
#[derive(Debug)]
struct SpillFolder(PathBuf);

impl SpillFolder {
    fn make(below: &Path) -> io::Result<SpillFolder> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = below.join(format!("{:016x}", u64::from_ne_bytes(random)));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(SpillFolder(path))
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(error = &error as &dyn std::error::Error, path = %self.0.display(), "spilled files stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_without_memory_is_told_as_such_and_others_by_their_status() {
        let stderr = "memory allocation of 8000000000 bytes failed\n";
        let error = describe_exit(Some(ExitStatus::from_raw(6)), stderr, 512 << 20);
        assert_eq!(error.fault, Fault::Budget);
        assert!(error.message.contains("memory_mb is 512"), "{error}");
        let error = describe_exit(Some(ExitStatus::from_raw(24)), "", 0);
        assert!(error.message.contains("processor"), "{error}");
        let error = describe_exit(Some(ExitStatus::from_raw(11)), "one\ntwo\n", 0);
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::Died, "the process that answered ended by signal 11: two")
        );
    }
}
