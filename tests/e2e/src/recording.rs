//! A client of the recorder protocol v1, for streams that OpenSSH would not produce at the right time.
//!
//! Tests use a real tailscaled where one can produce the stream.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::WAIT_LIMIT;

/// The largest time for a recorder to read a line.
const LIMIT: Duration = Duration::from_secs(60);

/// One upload.
#[derive(Debug)]
pub struct Recording {
    stream: TcpStream,
    /// All sent bytes.
    pub sent: Vec<u8>,
}

impl Recording {
    /// Opens an upload and sends the header with `command`.
    pub async fn open(recorder: &str, command: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(recorder).await?;
        let head = format!(
            "POST /record HTTP/1.1\r\nHost: {recorder}\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut recording = Self { stream, sent: Vec::new() };
        let answer = recording.answer().await?;
        ensure!(answer.starts_with("HTTP/1.1 100"), "the recorder refused: {answer}");
        recording
            .line(&json!({
                "version": 2, "width": 80, "height": 24, "timestamp": 1_767_225_600, "command": command,
                "srcNode": "laptop.tail.example", "srcNodeID": "7", "srcNodeUserID": 3,
                "srcNodeUser": "alice@example.com", "env": {"TERM": "xterm-256color"}, "sshUser": "root",
                "localUser": "root", "connectionID": "ssh-conn-20260101T000000-0a1b2c3d4e",
            }))
            .await?;
        Ok(recording)
    }

    /// Sends a line.
    pub async fn line(&mut self, line: &Value) -> Result<()> {
        let text = format!("{line}\n");
        self.sent.extend_from_slice(text.as_bytes());
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        tokio::time::timeout(LIMIT, self.stream.write_all(chunk.as_bytes()))
            .await
            .context("waited for the recorder to take a line")??;
        Ok(())
    }

    /// Sends `count` lines of output.
    pub async fn lines(&mut self, count: u32) -> Result<()> {
        for number in 0..count {
            self.line(&json!([f64::from(number) / 10.0, "o", format!("line {number} of many\r\n")])).await?;
        }
        Ok(())
    }

    /// Ends it in order; returns all sent bytes.
    pub async fn end(mut self) -> Result<Vec<u8>> {
        self.stream.write_all(b"0\r\n\r\n").await?;
        let answer = self.answer().await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "the recorder answered: {answer}");
        Ok(self.sent)
    }

    async fn answer(&mut self) -> Result<String> {
        let mut answer = Vec::new();
        let reading = async {
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(self.stream.read_u8().await?);
            }
            std::io::Result::Ok(())
        };
        let read =
            tokio::time::timeout(WAIT_LIMIT, reading).await.context("waited for the recorder's answer")?;
        read.with_context(|| format!("the recorder hung up after {:?}", String::from_utf8_lossy(&answer)))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
