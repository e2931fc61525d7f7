//! No peer can stop another: one address floods each port in turn, while another one records and queries.
//!
//! The other's acknowledgements take at most twice as long as alone, or 50 ms, whichever is more. Each flood has a
//! bounded size: more than a port accepts of all peers together, or a load that once delayed others.
#![expect(clippy::print_stdout, reason = "the test reports what it measured")]

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Connection, HEADER, Server, Setup, Upload, connect_from, p99, until};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::task::{JoinHandle, JoinSet};

/// Lines whose acknowledgement is measured. The time between them is longer than the pause between two frames.
const LINES: usize = 40;
const GAP: Duration = Duration::from_millis(120);

/// The flooding and the other peer: the last byte of their address.
const FLOODS: u8 = 1;
const OTHER_PEER: u8 = 2;
/// Floods of sockets have an address of their own each, from here on: thousands of refused connections leave no ports for
/// the next ones of the same address.
const SOCKETS_FROM: u8 = 10;
const REFUSED_FROM: u8 = 40;

/// How long the other peer waits for an answer of a flooded port.
const LIMIT: Duration = Duration::from_secs(10);

const TOKEN: &str = "s3cr3t";

/// The addresses of all ports.
#[derive(Clone, Copy)]
struct Ports {
    console: SocketAddr,
    recorder: SocketAddr,
    hec: SocketAddr,
    bulk: SocketAddr,
    logtail: SocketAddr,
    webhook: SocketAddr,
}

/// A server on all of its ports.
async fn start(folder: &std::path::Path) -> Result<(Server, Ports)> {
    let free = || Ok::<_, anyhow::Error>(std::net::TcpListener::bind("127.0.0.1:0")?);
    // Kept open until all are known, so that no two are equal.
    let held = (free()?, free()?, free()?, free()?);
    let (hec, bulk) = (held.0.local_addr()?, held.1.local_addr()?);
    let (logtail, webhook) = (held.2.local_addr()?, held.3.local_addr()?);
    drop(held);
    let secret = folder.join("secret");
    std::fs::write(&secret, TOKEN)?;
    let config = format!(
        "[sources.hec]\nlisten = \"{hec}\"\ntoken_file = {secret:?}\n[sources.bulk]\nlisten = \"{bulk}\"\n\
         token_file = {secret:?}\n[sources.webhook]\nlisten = \"{webhook}\"\ntoken_file = {secret:?}\n\
         [sources.logtail]\nlisten = \"{logtail}\"\n"
    );
    let server = Server::start(folder, &Setup { config: Some(config), ..Setup::default() }).await?;
    let console = server.url.trim_start_matches("http://").parse()?;
    let recorder = server.recorder.parse()?;
    Ok((server, Ports { console, recorder, hec, bulk, logtail, webhook }))
}

/// The 99th percentile of the times of acknowledgements.
async fn record(upload: &mut Upload) -> Result<Duration> {
    let mut times = Vec::new();
    for number in 0..LINES {
        tokio::time::sleep(GAP).await;
        let line = format!("[{number}.5,\"o\",\"user@host:~$ make test\\r\\n\"]\n");
        times.push(upload.send_durably(line).await?);
    }
    Ok(p99(&mut times))
}

/// A flood that runs until it is dropped.
struct Flood(Vec<JoinHandle<()>>);

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Connections that send only `bytes`; each one that is closed is opened again.
fn sockets(from: u8, address: SocketAddr, count: usize, bytes: &'static [u8]) -> Flood {
    let one = async move || -> Result<()> {
        let mut stream = connect_from(from, address).await?;
        stream.write_all(bytes).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        Ok(())
    };
    let again_and_again = move |number: usize| async move {
        loop {
            // Refusing the flood is correct.
            drop(one().await);
            tokio::time::sleep(Duration::from_millis(1000 + number as u64 % 1000)).await;
        }
    };
    Flood((0..count).map(|number| tokio::spawn(again_and_again(number))).collect())
}

/// Streams on one connection each, with a request of `path` that sends `text`, then a byte each half a second.
async fn streams(address: SocketAddr, connections: usize, path: &'static str, text: &'static str) -> Flood {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let Ok(connection) = Connection::open(FLOODS, address).await else { continue };
        for _ in 0..64 {
            let mut connection = connection.clone();
            tasks.spawn(async move {
                let Ok((sending, answer)) = connection.begin(path) else { return };
                let answered = tokio::spawn(answer);
                let mut piece = text;
                while sending.send(Ok(hyper::body::Frame::data(piece.into()))).await.is_ok() {
                    piece = " ";
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                answered.abort();
            });
        }
    }
    Flood(vec![tokio::spawn(async move { while tasks.join_next().await.is_some() {} })])
}

/// Recordings that send at full speed until dropped.
async fn fast_recordings(address: SocketAddr, count: usize) -> Result<Flood> {
    let mut tasks = Vec::new();
    for _ in 0..count {
        let mut upload = Upload::begin(&mut Connection::open(FLOODS, address).await?).await?;
        let piece = format!("[1,\"o\",\"{}\"]\n", "x".repeat(60_000));
        tasks.push(tokio::spawn(async move {
            // Bounded, because the recordings are stored on the disk.
            for _ in 0..1500 {
                if upload.send(piece.clone()).await.is_err() {
                    return;
                }
            }
        }));
    }
    Ok(Flood(tasks))
}

/// A client with the other address.
fn other() -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, OTHER_PEER]));
    Ok(builder.no_proxy().timeout(LIMIT).build()?)
}

/// Checks that every port answers the other address.
async fn all_answer(ports: Ports) -> Result<()> {
    let http = other()?;
    let health = http.get(format!("http://{}/api/v1/health", ports.console)).send().await;
    ensure!(health.context("the console")?.status() == 200);
    let event = http.post(format!("http://{}/services/collector/event", ports.hec));
    let event = event.header("Authorization", format!("Splunk {TOKEN}")).body("{\"event\":\"hello\"}");
    ensure!(event.send().await.context("the event collector")?.status() == 200);
    let bulk = http.get(format!("http://{}/", ports.bulk)).bearer_auth(TOKEN).send().await;
    ensure!(bulk.context("the bulk receiver")?.status() == 200);
    let upload = http.post(format!("http://{}/c/x/{:064x}", ports.logtail, 7)).body("[]").send().await;
    ensure!(upload.context("the log receiver")?.status() == 200);
    let hook = http.post(format!("http://{}/", ports.webhook)).body("[]").send().await;
    ensure!(hook.context("webhooks")?.status() == 401);
    let event = r#"{"type":"kubernetes-api-request","request":{"method":"GET","path":"/api"},"kubernetes":null,
                    "source":{"node":"laptop","nodeUser":"alice@example.com"}}"#;
    let event = http.post(format!("http://{}/v2/event", ports.recorder)).body(event).send().await;
    ensure!(event.context("a request event")?.status() == 200);
    Upload::begin(&mut Connection::open(OTHER_PEER, ports.recorder).await?).await.context("a recording")?;
    Ok(())
}

/// Records during a flood. Three attempts: the machine can be busy.
async fn measure_beside<F: Future<Output = Result<Flood>>>(
    what: &str,
    ports: Ports,
    flood: impl Fn() -> F,
) -> Result<()> {
    let mut connection = Connection::open(OTHER_PEER, ports.recorder).await?;
    let mut upload = Upload::begin(&mut connection).await?;
    upload.send_durably("[0.1,\"o\",\"$ \"]\n").await?;
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let alone = record(&mut upload).await?;
        let flooding = flood().await?;
        all_answer(ports).await.with_context(|| format!("beside {what}"))?;
        let beside = record(&mut upload).await?;
        drop(flooding);
        println!("beside {what}: acks p99 {beside:?}, alone {alone:?}");
        ratios.push((alone, beside));
        if beside <= (alone * 2).max(Duration::from_millis(50)) {
            return Ok(());
        }
    }
    anyhow::bail!("beside {what} acknowledgements took longer, alone and beside it: {ratios:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_floods_each_port_and_another_records_as_if_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, ports) = start(folder.path()).await?;
    let upload: &[u8] =
        b"POST /c/x/0000000000000000000000000000000000000000000000000000000000000001 HTTP/1.1\r\n\
                          Host: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n";
    let floods = [
        ("silence at the recorder", ports.recorder, 3000, &b""[..]),
        ("silence at the console", ports.console, 2100, b""),
        ("silence at the event collector", ports.hec, 1100, b""),
        ("silence at the bulk receiver", ports.bulk, 1100, b""),
        ("silence at the log receiver", ports.logtail, 1100, b""),
        ("silence at the webhooks", ports.webhook, 1100, b""),
        ("half prefaces", ports.console, 2100, b"PRI * HTTP/2.0"),
        ("slow uploads", ports.logtail, 200, upload),
    ];
    for ((what, address, count, says), from) in floods.into_iter().zip(SOCKETS_FROM..) {
        measure_beside(what, ports, async || Ok(sockets(from, address, count, says))).await?;
    }
    measure_beside("slow events", ports, async || Ok(streams(ports.recorder, 4, "/v2/event", " ").await))
        .await?;
    measure_beside("large recordings", ports, async || fast_recordings(ports.recorder, 4).await).await?;
    for port in ["console", "hec", "bulk", "logtail", "webhook"] {
        ensure!(refused_connections(&server, port).await? > 0, "{port} refused nothing of a flood");
    }
    // A busy machine may not have opened as many as the share while it was measured.
    let _flood = sockets(REFUSED_FROM, ports.recorder, 4000, b"");
    until("the recorder to refuse connections over the share", Duration::from_secs(60), async || {
        refused_connections(&server, "recorder").await.ok().filter(|&count| count > 0)
    })
    .await?;
    Ok(())
}

/// Connections that a port has refused so far because of a peer's share.
async fn refused_connections(server: &Server, port: &str) -> Result<u64> {
    let metrics = String::from_utf8(server.get("/metrics").await?.to_vec())?;
    let refused = format!("meshtrail_connections_refused_total{{port=\"{port}\",reason=\"share\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&refused));
    Ok(count.context(refused.clone())?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_opens_all_the_sessions_it_can_and_another_records_as_if_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, ports) = start(folder.path()).await?;
    // More than an eighth of 20,000.
    measure_beside("many sessions", ports, async || {
        Ok(streams(ports.recorder, 48, "/v2/record", HEADER).await)
    })
    .await?;
    let live: Value = server.json("/api/v1/sessions?limit=1").await?;
    ensure!(live["sessions"].is_array());
    let metrics = String::from_utf8(server.get("/metrics").await?.to_vec())?;
    let refused = "meshtrail_sessions_refused_total{port=\"recorder\",reason=\"share\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(refused)).context("a count")?;
    ensure!(count.parse::<u64>()? > 0, "nothing of {} sessions was refused", 48 * 64);
    Ok(())
}
