//! The messages at the start of a Postgres connection, up to the password.
//!
//! Source: the PostgreSQL 17 manual, chapter "Message Formats": StartupMessage, SSLRequest, GSSENCRequest,
//! CancelRequest, PasswordMessage, ErrorResponse. Lengths include themselves and are in network order.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The longest first message, with Postgres' own limit.
const MAX_STARTUP: usize = 10_000;
/// The longest password message: tokens are short.
const MAX_PASSWORD: usize = 4096;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// Requests for encryption before the message that counts.
const MAX_REQUESTS: usize = 3;
/// The first byte of a TLS handshake, for clients that start TLS without a request.
const TLS_HANDSHAKE: u8 = 0x16;

/// The purpose of a connection, from its first message.
pub(super) enum FirstMessage {
    /// Queries.
    Start(StartupMessage),
    /// Cancelling the query of another connection.
    Cancel { process: i32, secret: i32 },
}

/// A startup message, with its bytes as received.
pub(super) struct StartupMessage {
    bytes: Vec<u8>,
    user: String,
}

impl StartupMessage {
    fn parse(bytes: Vec<u8>) -> io::Result<StartupMessage> {
        let mut texts = bytes.get(8..).unwrap_or_default().split(|byte| *byte == 0);
        let mut user = None;
        while let (Some(name @ [_, ..]), Some(value)) = (texts.next(), texts.next()) {
            if name == b"user" {
                user = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
        let user = user.ok_or_else(|| invalid_data("a startup message names no user"))?;
        Ok(StartupMessage { bytes, user })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }
}

fn invalid_data(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A connection, with TLS or without.
pub(super) enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Reads up to the message with the connection's purpose; starts TLS if the client asks for it and it is configured.
pub(super) async fn read_first_message(
    socket: TcpStream,
    tls: Option<&TlsAcceptor>,
) -> io::Result<(Stream, FirstMessage)> {
    let mut first = [0];
    let mut stream = match (socket.peek(&mut first).await?, tls) {
        (1, Some(tls)) if first[0] == TLS_HANDSHAKE => start_tls(socket, tls).await?,
        _ => Stream::Clear(socket),
    };
    for _ in 0..MAX_REQUESTS {
        let length = stream.read_u32().await? as usize;
        if !(8..=MAX_STARTUP).contains(&length) {
            return Err(invalid_data("the first message has a length that none has"));
        }
        let code = stream.read_u32().await?;
        match code {
            SSL_REQUEST | GSS_REQUEST if length == 8 => {
                stream = match (stream, tls) {
                    (Stream::Clear(mut socket), Some(tls)) if code == SSL_REQUEST => {
                        socket.write_all(b"S").await?;
                        start_tls(socket, tls).await?
                    }
                    (mut stream, _) => {
                        stream.write_all(b"N").await?;
                        stream
                    }
                };
            }
            CANCEL_REQUEST if length == 16 => {
                let (process, secret) = (stream.read_i32().await?, stream.read_i32().await?);
                return Ok((stream, FirstMessage::Cancel { process, secret }));
            }
            version if version >> 16 == 3 => {
                let mut bytes = vec![0; length];
                bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
                bytes[4..8].copy_from_slice(&code.to_be_bytes());
                stream.read_exact(&mut bytes[8..]).await?;
                return Ok((stream, FirstMessage::Start(StartupMessage::parse(bytes)?)));
            }
            version => {
                let text =
                    format!("protocol {}.{} is not spoken here: use 3.0", version >> 16, version & 0xffff);
                refuse(&mut stream, "0A000", &text).await?;
                return Err(invalid_data("a protocol that is not spoken here"));
            }
        }
    }
    Err(invalid_data("too many requests for encryption"))
}

async fn start_tls(socket: TcpStream, tls: &TlsAcceptor) -> io::Result<Stream> {
    Ok(Stream::Tls(Box::new(tls.accept(socket).await?)))
}

/// Requests a cleartext password and reads it.
pub(super) async fn password(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    // AuthenticationCleartextPassword
    stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await?;
    stream.flush().await?;
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await? as usize;
    if kind != b'p' || !(5..=MAX_PASSWORD).contains(&length) {
        return Err(invalid_data("a password was asked for, and something else came"));
    }
    let mut text = vec![0; length - 4];
    stream.read_exact(&mut text).await?;
    text.pop();
    String::from_utf8(text).map_err(|_| invalid_data("a password that is no text"))
}

/// Sends a fatal error and closes the connection.
pub(super) async fn refuse(
    stream: &mut (impl AsyncWrite + Unpin),
    state: &str,
    text: &str,
) -> io::Result<()> {
    stream.write_all(&fatal(state, text)).await?;
    stream.shutdown().await
}

/// Encodes an ErrorResponse after which the connection ends.
fn fatal(state: &str, text: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', state), (b'M', text)] {
        fields.push(field);
        fields.extend(value.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    let mut message = vec![b'E'];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&fields);
    message
}

/// A new cancel key: a process number and a secret.
pub(super) fn new_cancel_key() -> io::Result<(i32, i32)> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let number = |at: usize| i32::from_be_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]);
    Ok((number(0) & i32::MAX, number(4)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => std::pin::Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => std::pin::Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(stream) => std::pin::Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => std::pin::Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => std::pin::Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => std::pin::Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => std::pin::Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => std::pin::Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(parameters: &[u8]) -> Vec<u8> {
        let mut bytes = (u32::try_from(8 + parameters.len()).unwrap()).to_be_bytes().to_vec();
        bytes.extend([0, 3, 0, 0]);
        bytes.extend(parameters);
        bytes
    }

    #[test]
    fn a_startup_message_names_its_user_or_is_none() {
        let message = StartupMessage::parse(startup(b"database\0meshtrail\0user\0reports\0\0")).unwrap();
        assert_eq!(message.user(), "reports");
        for broken in [&b""[..], b"\0", b"user", b"database\0x\0\0", b"user\0"] {
            let parsed = StartupMessage::parse(startup(broken));
            assert!(parsed.is_err() || parsed.is_ok_and(|message| message.user().is_empty()), "{broken:?}");
        }
    }

    #[test]
    fn an_error_is_one_message_of_its_length() {
        let message = fatal("28P01", "no\0such token");
        assert_eq!(message[0], b'E');
        assert_eq!(u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize, message.len() - 1);
        assert!(message.ends_with(b"Mnosuch token\0\0"));
    }
}
