//! An answer's bytes as they come.
//!
//! - Whoever asks has the first bytes, or the reason why there are none, before the answer begins, unless they take long.
//! - An answer that breaks off is an error, never an end.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::io::AsyncReadExt;

use crate::message::FromWorker;
use crate::pool::Running;
use crate::question::{Fault, Format, QueryError};

/// Bytes that are read at a time.
const READ: usize = 128 << 10;

/// How long the first bytes are waited for before an answer begins: whoever asks over HTTP must hear something.
const FIRST_BYTES: Duration = Duration::from_secs(10);

/// An answer. Dropped, its question stops.
pub struct Answer {
    running: Running,
    format: Format,
    first: Option<Bytes>,
    rows: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes may come.
    Open,
    /// All bytes are there; how it ended is not known yet.
    Read,
    /// All is known.
    Ended,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("format", &self.format)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

enum Step {
    Bytes(io::Result<usize>),
    Event(Option<FromWorker>),
}

impl Answer {
    /// Waits until there are bytes, or the answer is whole without any, but no longer than [`FIRST_BYTES`].
    pub(crate) async fn begin(running: Running, format: Format) -> Result<Answer, QueryError> {
        let mut answer = Answer { running, format, first: None, rows: 0, state: State::Open };
        if let Ok(first) = tokio::time::timeout(FIRST_BYTES, answer.step()).await {
            answer.first = first?;
        }
        Ok(answer)
    }

    /// How it is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Rows that are in what was given so far, or soon will be; at the end, all.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, QueryError> {
        match self.first.take() {
            Some(bytes) => Ok(Some(bytes)),
            None => self.step().await,
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, QueryError>> + Send + 'static {
        futures::stream::try_unfold(self, |mut answer| async move {
            Ok(answer.next().await?.map(|bytes| (bytes, answer)))
        })
    }

    async fn step(&mut self) -> Result<Option<Bytes>, QueryError> {
        let mut buffer = BytesMut::with_capacity(READ);
        while self.state != State::Ended {
            let process = &mut self.running.process;
            // Rows are counted before the bytes that hold them are given.
            let step = tokio::select! {
                biased;
                event = process.events.recv() => Step::Event(event),
                read = process.data.read_buf(&mut buffer), if self.state == State::Open => Step::Bytes(read),
            };
            match step {
                Step::Bytes(Ok(0)) => self.state = State::Read,
                Step::Bytes(Ok(_)) => return Ok(Some(buffer.freeze())),
                // Its end tells more.
                Step::Bytes(Err(_)) => self.state = State::Read,
                Step::Event(Some(FromWorker::Progress { rows })) => self.rows = rows,
                Step::Event(Some(FromWorker::Ended { rows })) => {
                    self.rows = rows;
                    return self.rest().await;
                }
                Step::Event(Some(FromWorker::Failed(error))) => {
                    self.state = State::Ended;
                    return Err(error);
                }
                Step::Event(Some(_)) => {
                    self.state = State::Ended;
                    return Err(QueryError::new(Fault::Trail, "a worker said what is no part of an answer"));
                }
                Step::Event(None) => {
                    self.state = State::Ended;
                    return Err(self.running.died().await);
                }
            }
        }
        Ok(None)
    }

    /// What is left in the socket after the worker said that the answer is whole.
    async fn rest(&mut self) -> Result<Option<Bytes>, QueryError> {
        let mut left = Vec::new();
        if self.state == State::Open {
            let read = self.running.process.data.read_to_end(&mut left).await;
            read.map_err(|error| QueryError::new(Fault::Trail, format!("the answer broke off: {error}")))?;
        }
        self.state = State::Ended;
        self.running.answered();
        Ok(Some(Bytes::from(left)).filter(|left| !left.is_empty()))
    }
}
