//! Answers whose bodies are streams.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::StatusCode;
use serde::de::DeserializeOwned;

use super::{ClientError, Refusal};

/// The largest answer that is read into memory, in bytes.
const MAX_BODY: usize = 256 << 20;

/// An answer that is no error.
pub struct Answer {
    body: BoxStream<'static, Result<Bytes, ClientError>>,
}

impl Answer {
    /// The answer with this status and body; with an error status, what the body says of it is the error.
    ///
    /// `broken_off` tells what happened where the body ends with an error.
    pub async fn from_parts<E>(
        status: StatusCode,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        broken_off: &'static str,
    ) -> Result<Answer, ClientError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let broken_off = move |error: E| ClientError::BrokenOff { reason: broken_off, source: error.into() };
        let answer = Answer { body: body.map(move |part| part.map_err(broken_off)).boxed() };
        if status.is_success() {
            return Ok(answer);
        }
        Err(ClientError::Refused(Refusal::parse(status, &answer.read_all().await?)))
    }

    /// The next part of the body; `None` at its end.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        self.body.next().await
    }

    /// Reads the whole body.
    pub async fn read_all(mut self) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(part) = self.next().await {
            body.extend_from_slice(&part?);
            if body.len() > MAX_BODY {
                return Err(ClientError::TooLarge { max: MAX_BODY });
            }
        }
        Ok(body)
    }

    /// Reads the whole body as JSON; the error names `path`.
    pub async fn read_json<T: DeserializeOwned>(self, path: &str) -> Result<T, ClientError> {
        let body = self.read_all().await?;
        serde_json::from_slice(&body)
            .map_err(|source| ClientError::Unexpected { path: path.to_owned(), source })
    }

    /// The body as lines of at most `max` bytes.
    pub fn lines(self, max: usize) -> Lines {
        Lines { answer: self, max, read: Vec::new(), start: 0 }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// The lines of an answer, as they come.
#[derive(Debug)]
pub struct Lines {
    answer: Answer,
    max: usize,
    /// Bytes that were received; those before `start` were returned.
    read: Vec<u8>,
    start: usize,
}

impl Lines {
    /// The next whole line, without its end; `None` at the end of the answer, whatever follows its last line end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let mut searched = self.start;
        loop {
            if let Some(length) = self.read[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + length;
                let line = &self.read[self.start..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.start = end + 1;
                return Ok(Some(line));
            }
            self.read.drain(..self.start);
            self.start = 0;
            if self.read.len() > self.max {
                return Err(ClientError::LineTooLong { max: self.max });
            }
            searched = self.read.len();
            match self.answer.next().await {
                Some(part) => self.read.extend_from_slice(&part?),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(parts: &'static [&'static str], max: usize) -> Lines {
        let body = futures::stream::iter(parts).map(|part| Ok::<_, std::io::Error>(Bytes::from(*part)));
        Answer::from_parts(StatusCode::OK, body, "lost").await.unwrap().lines(max)
    }

    async fn all(mut lines: Lines) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(String::from_utf8(line).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn lines_are_the_same_however_the_parts_are_cut() {
        let expected = ["one", "", "two", "three"];
        assert_eq!(all(lines(&["one\r\n\ntwo\nthree\nhalf"], 100).await).await, expected);
        assert_eq!(all(lines(&["o", "ne\r", "\n", "\ntwo\nth", "ree", "\nhalf"], 100).await).await, expected);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let mut lines = lines(&["short\n", "0123456789", "0123456789"], 8).await;
        assert_eq!(lines.next().await.unwrap(), Some(b"short".to_vec()));
        let error = lines.next().await.unwrap_err();
        assert!(matches!(error, ClientError::LineTooLong { max: 8 }), "{error}");
    }
}
