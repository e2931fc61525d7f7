//! Latency of the console's first page and of its counts, over a store of any size.
//!
//! `cargo run --release -p meshtrail-bench --bin first_page -- --server http://127.0.0.1:7411 --token TOKEN`
//!
//! Sends a browser's requests to a running server over loopback: the page itself, then the requests that the page makes
//! after its rows. Each is sent `--times` times, where it has a filter with another one each time, so that no answer
//! comes from a cache.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

#[derive(Parser)]
struct Args {
    /// `http://host:port` of the server.
    #[arg(long)]
    server: String,
    /// An API token of a reader.
    #[arg(long)]
    token: String,
    /// How often each is asked.
    #[arg(long, default_value_t = 30)]
    times: usize,
}

/// The largest allowed median of a filter that few events match, or none.
const RARE: Duration = Duration::from_millis(150);

/// Name, path, and the largest allowed median.
const CASES: &[(&str, &str, Option<Duration>)] = &[
    ("first page", "/events", Some(Duration::from_millis(200))),
    ("first page, last 24 hours", "/events?q=since:24h", Some(Duration::from_millis(200))),
    ("first page, one person", "/events?q=actor:{person}", Some(RARE)),
    ("somebody who is in no event", "/api/v1/events?q=actor:nobody{person}", Some(RARE)),
    ("one device", "/api/v1/events?q=device:nothing{person}", Some(RARE)),
    ("one address", "/api/v1/events?q=address:198.51.100.{round}", Some(RARE)),
    ("one session", "/api/v1/events?q=session:20200101-main-1-{round}", Some(RARE)),
    ("one target", "/api/v1/events?q=target:nowhere{person}", Some(RARE)),
    (
        "one person's failed logins",
        "/api/v1/events?q=person:{person}* kind:ssh.login outcome:failure",
        Some(RARE),
    ),
    ("any text", "/api/v1/events?q=nowhere{person}", None),
    ("histogram of everything", "/api/v1/events/histogram", None),
    ("histogram of 30 days by kind", "/api/v1/events/histogram?q=since:30d&by=kind", None),
    ("what was denied, over everything", "/api/v1/events/histogram?q=outcome:denied", None),
    ("facets of everything", "/api/v1/events/facets", None),
    ("facets of 7 days", "/api/v1/events/facets?q=since:7d", None),
    ("completion of a person", "/api/v1/events/complete?q=actor:{person}", None),
];

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let address = args.server.trim_start_matches("http://").trim_end_matches('/').to_owned();
    println!("| asked | p50 | p95 | bytes | at most |\n|---|---|---|---|---|");
    let mut missed = Vec::new();
    for (name, path, limit) in CASES {
        let mut took = Vec::new();
        let mut bytes = 0;
        for round in 0..args.times {
            let path = path.replace("{person}", &format!("p{round}")).replace("{round}", &round.to_string());
            let path = path.replace(' ', "%20");
            let start = Instant::now();
            bytes = ask(&address, &path, &args.token).await?;
            took.push(start.elapsed());
        }
        took.sort_unstable();
        let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
        let shown = limit.map_or_else(String::new, |limit| format!("{} ms", limit.as_millis()));
        println!("| {name} | {:.1?} | {:.1?} | {bytes} | {shown} |", at(50), at(95));
        if limit.is_some_and(|limit| at(50) >= limit) {
            missed.push(*name);
        }
    }
    ensure!(missed.is_empty(), "over the limit: {}", missed.join(", "));
    Ok(())
}

/// Sends a request on a new connection; returns the length of the body.
async fn ask(address: &str, path: &str, token: &str) -> Result<usize> {
    let mut connection = connect(address).await?;
    let request = hyper::Request::get(path)
        .header("host", address)
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "text/html, application/json")
        .body(Empty::<Bytes>::new())?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
    Ok(body.len())
}

async fn connect(address: &str) -> Result<SendRequest<Empty<Bytes>>> {
    let stream =
        tokio::net::TcpStream::connect(address).await.with_context(|| format!("nobody is at {address}"))?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
