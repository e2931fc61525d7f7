//! A client of the recorder protocol v2, which reads acks, from a chosen loopback address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const LIMIT: Duration = Duration::from_secs(20);

/// The first line of a recording.
pub const HEADER: &str = concat!(
    r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"srcNode":"laptop.tail.example","#,
    r#""srcNodeID":"7","srcNodeUser":"alice@example.com","env":{"TERM":"xterm"},"sshUser":"root","localUser":"root"}"#,
    "\n"
);

type BodySender = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;
type Body = StreamBody<ReceiverStream<Result<Frame<Bytes>, std::io::Error>>>;

/// A connection to `address` from 127.0.0.`last`.
pub async fn connect_from(last: u8, address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection over which recordings are sent.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Body>,
    address: SocketAddr,
}

impl Connection {
    /// From 127.0.0.`last`.
    pub async fn open(last: u8, address: SocketAddr) -> Result<Connection> {
        let stream = TokioIo::new(connect_from(last, address).await?);
        let (sender, connection) = handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(Connection { sender, address })
    }

    /// Starts a request; returns the sender of its body, and its answer, which can wait for the whole body.
    pub fn begin(
        &mut self,
        path: &str,
    ) -> Result<(BodySender, impl Future<Output = hyper::Result<Response<Incoming>>> + use<>)> {
        let (sending, body) = mpsc::channel(4);
        let uri = format!("http://{}{path}", self.address);
        let request = Request::post(uri).body(StreamBody::new(ReceiverStream::new(body)))?;
        Ok((sending, self.sender.send_request(request)))
    }
}

/// One recording.
pub struct Upload {
    sending: BodySender,
    acks: Incoming,
    buffer: Vec<u8>,
    hash: Sha256,
    sent: u64,
    acked: u64,
}

impl Upload {
    /// Starts a recording and sends its header line.
    pub async fn begin(connection: &mut Connection) -> Result<Upload> {
        let (sending, answer) = connection.begin("/v2/record")?;
        let answer = answer.await?;
        ensure!(answer.status() == 200, "the recorder answered {}", answer.status());
        let (acks, hash) = (answer.into_body(), Sha256::new());
        let mut upload = Upload { sending, acks, buffer: Vec::new(), hash, sent: 0, acked: 0 };
        upload.send(HEADER).await?;
        Ok(upload)
    }

    /// Sends a piece.
    pub async fn send(&mut self, text: impl Into<Bytes>) -> Result<()> {
        let bytes = text.into();
        self.sent += bytes.len() as u64;
        self.hash.update(&bytes);
        self.sending.send(Ok(Frame::data(bytes))).await.context("the upload was cut off")
    }

    /// Sends a piece and waits until all of it is durable; returns how long that took.
    pub async fn send_durably(&mut self, text: impl Into<Bytes>) -> Result<Duration> {
        let start = Instant::now();
        self.send(text).await?;
        while self.acked < self.sent {
            let frame = tokio::time::timeout(LIMIT, self.acks.frame()).await;
            let frame = frame.context("waited for an ack")?.context("the acks ended")??;
            let Ok(data) = frame.into_data() else { continue };
            self.buffer.extend_from_slice(&data);
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let frame: serde_json::Value = serde_json::from_slice(&line)?;
                if let Some(error) = frame["error"].as_str() {
                    bail!("the recorder failed: {error}");
                }
                self.acked = self.acked.max(frame["ack"].as_u64().unwrap_or(0));
            }
        }
        Ok(start.elapsed())
    }

    /// Ends it in order when all of it is durable; returns the SHA-256 of the sent bytes in hexadecimal.
    pub async fn end(mut self) -> Result<String> {
        drop(self.sending);
        let rest = async {
            while let Some(frame) = self.acks.frame().await {
                frame?;
            }
            hyper::Result::Ok(())
        };
        tokio::time::timeout(LIMIT, rest).await.context("waited for the acks to end")??;
        Ok(hex::encode(self.hash.finalize()))
    }
}

/// The 99th of a hundred times, as far as there are so many; there must be one.
pub fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * 99 / 100]
}
