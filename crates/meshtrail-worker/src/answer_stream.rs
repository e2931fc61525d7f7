//! The bytes of an answer, as they arrive.
//!
//! - The stream starts with the first bytes, or fails with the error, unless they take longer than [`FIRST_BYTES_TIME`].
//! - An answer that breaks off is an error, never an end of the stream.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::io::AsyncReadExt;

use crate::message::FromWorker;
use crate::pool::RunningQuery;
use crate::query::{Fault, Format, QueryError};

/// Bytes that are read at a time.
const READ_BYTES: usize = 128 << 10;

/// The longest wait for the first bytes: an HTTP client must get a response.
const FIRST_BYTES_TIME: Duration = Duration::from_secs(10);

/// The stream of an answer; dropping it stops the query.
pub struct AnswerStream {
    running: RunningQuery,
    format: Format,
    first: Option<Bytes>,
    rows: u64,
    state: AnswerState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerState {
    /// More bytes may arrive.
    Open,
    /// All bytes have arrived; the outcome is still unknown.
    Drained,
    /// The outcome is known.
    Ended,
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream")
            .field("format", &self.format)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

enum Step {
    Bytes(io::Result<usize>),
    Event(Option<FromWorker>),
}

impl AnswerStream {
    /// Waits for the first bytes or the end of the answer, at most [`FIRST_BYTES_TIME`].
    pub(crate) async fn begin(running: RunningQuery, format: Format) -> Result<AnswerStream, QueryError> {
        let mut answer = AnswerStream { running, format, first: None, rows: 0, state: AnswerState::Open };
        if let Ok(first) = tokio::time::timeout(FIRST_BYTES_TIME, answer.step()).await {
            answer.first = first?;
        }
        Ok(answer)
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Rows in the bytes that were returned so far, or in the next ones; at the end, all rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, QueryError> {
        match self.first.take() {
            Some(bytes) => Ok(Some(bytes)),
            None => self.step().await,
        }
    }

    /// Converts this into a [`Stream`].
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, QueryError>> + Send + 'static {
        futures::stream::try_unfold(self, |mut answer| async move {
            Ok(answer.next().await?.map(|bytes| (bytes, answer)))
        })
    }

    async fn step(&mut self) -> Result<Option<Bytes>, QueryError> {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        while self.state != AnswerState::Ended {
            let process = &mut self.running.process;
            // Events first, so that rows are counted before their bytes are returned.
            let step = tokio::select! {
                biased;
                event = process.events.recv() => Step::Event(event),
                read = process.data.read_buf(&mut buffer), if self.state == AnswerState::Open => Step::Bytes(read),
            };
            match step {
                Step::Bytes(Ok(0)) => self.state = AnswerState::Drained,
                Step::Bytes(Ok(_)) => return Ok(Some(buffer.freeze())),
                // The event that follows has the reason.
                Step::Bytes(Err(_)) => self.state = AnswerState::Drained,
                Step::Event(Some(FromWorker::Progress { rows })) => self.rows = rows,
                Step::Event(Some(FromWorker::Ended { rows })) => {
                    self.rows = rows;
                    return self.read_rest().await;
                }
                Step::Event(Some(FromWorker::Failed(error))) => {
                    self.state = AnswerState::Ended;
                    return Err(error);
                }
                Step::Event(Some(_)) => {
                    self.state = AnswerState::Ended;
                    return Err(QueryError::new(Fault::Trail, "a worker said what is no part of an answer"));
                }
                Step::Event(None) => {
                    self.state = AnswerState::Ended;
                    return Err(self.running.record_death().await);
                }
            }
        }
        Ok(None)
    }

    /// Reads what is left in the socket after the worker has reported the end.
    async fn read_rest(&mut self) -> Result<Option<Bytes>, QueryError> {
        let mut left = Vec::new();
        if self.state == AnswerState::Open {
            let read = self.running.process.data.read_to_end(&mut left).await;
            read.map_err(|error| QueryError::new(Fault::Trail, format!("the answer broke off: {error}")))?;
        }
        self.state = AnswerState::Ended;
        self.running.count_answer();
        Ok(Some(Bytes::from(left)).filter(|left| !left.is_empty()))
    }
}
