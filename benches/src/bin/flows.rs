//! Durable flow records per second, uploaded as by real nodes: zstd bodies of windows with many connections, over HTTP
//! on loopback; then their size on disk, compared with `zstd -3` of the same leaves.
//!
//! `cargo run --release -p meshtrail-bench --bin flows -- --dir DIR [--records N] [--connections N] [--senders N]`
//!
//! Uploads are generated and compressed before the measurement. It lasts from the first byte sent until the last answer;
//! "until sealed" lasts until the trail is closed. Senders share the machine with the server.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use futures::TryStreamExt as _;
use meshtrail_bench::generator::Random;
use meshtrail_collect::config::{SourcesConfig, SourcesFile};
use meshtrail_collect::sources::Sources;
use meshtrail_collect::{Wiring, open};
use meshtrail_event::{Change, Detail, DeviceState, Draft, EventId, Json, Kind, Target, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, Trail, TrailConfig};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A Monday, 06:00 UTC.
const BEGIN: i64 = 1_763_359_200;
/// The largest number of leaves that are compressed with `zstd -3` for comparison.
const MAX_COMPARED: u64 = 1 << 20;

#[derive(Parser)]
struct Args {
    /// Where the trail is written; removed afterwards.
    #[arg(long)]
    dir: PathBuf,
    /// Records in all.
    #[arg(long, default_value_t = 3_000_000)]
    records: usize,
    /// Nodes that report.
    #[arg(long, default_value_t = 300)]
    nodes: usize,
    /// Connections in a window.
    #[arg(long, default_value_t = 500)]
    connections: usize,
    /// Nodes that upload at the same time.
    #[arg(long, default_value_t = 16)]
    senders: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir)?;
    let folder = tempfile::tempdir_in(&args.dir)?;
    let uploads = uploads(&args)?;
    let packed: usize = uploads.iter().map(Vec::len).sum();
    let records = uploads.len() * args.connections;
    println!(
        "{records} records in {} uploads of {} connections, {} nodes, {:.1} bytes each on the wire",
        uploads.len(),
        args.connections,
        args.nodes,
        packed as f64 / records as f64
    );
    let server = Server::start(folder.path(), args.nodes).await?;
    let (address, senders) = (server.address, args.senders);
    let (start, busy) = (Instant::now(), cpu_seconds()?);
    let waits = tokio::task::spawn_blocking(move || send(address, &uploads, senders)).await??;
    let (acked, busy) = (start.elapsed(), cpu_seconds()? - busy);
    ensure!(server.trail.size() >= records as u64, "records are missing");
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    let trail = server.stop().await;
    trail.clone().close().await;
    let sealed = start.elapsed();
    println!(
        "  durable {:>10.0}/s   {:.0}/s until sealed   an upload p50 {:.1} ms, p99 {:.1} ms   (aim: 250,000/s)",
        records as f64 / acked.as_secs_f64(),
        records as f64 / sealed.as_secs_f64(),
        at(0.5) * 1e3,
        at(0.99) * 1e3
    );
    println!(
        "  {:.2} µs of CPU a record until durable, senders and sealing meanwhile included",
        busy * 1e6 / records as f64
    );
    drop(trail);
    print_disk_use(folder.path()).await
}

/// A server that receives client logs and has the nodes in its directory.
struct Server {
    trail: Trail,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    async fn start(folder: &Path, nodes: usize) -> Result<Self> {
        let trail = open_trail(folder).await?;
        let history = History::new();
        for node in 0..nodes {
            let id = EventId { source: "main.made".parse()?, epoch: 1, sequence: node as u64 + 1 };
            let draft = device_snapshot(node);
            let time = draft.time;
            history.learn(&draft.into_event(id, time));
        }
        let file: SourcesFile = toml::from_str("[logtail]\nlisten = \"127.0.0.1:0\"\n")?;
        let collectors = open(SourcesConfig::try_from(file)?)?;
        let (_, address) = collectors.addresses().pop().context("a receiver listens")?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let sources = Sources::new(trail.emitter("sources"));
        collectors.start(&Wiring::new(trail.clone(), history, sources, tasks.clone(), stop.clone()));
        Ok(Self { trail, address, stop, tasks })
    }

    async fn stop(self) -> Trail {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.trail
    }
}

async fn open_trail(folder: &Path) -> Result<Trail> {
    let store = Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await?;
    Ok(Trail::open(store, &folder.join("local"), TrailConfig::new("main")).await?)
}

fn stable_id(node: usize) -> String {
    format!("n{node:06}kCNTRL")
}

fn address(node: usize) -> String {
    format!("100.{}.{}.{}", 64 + node / 65_536, node / 256 % 256, node % 256)
}

fn name(node: usize) -> String {
    let (what, number) = if node.is_multiple_of(3) { ("srv", node / 3) } else { ("laptop", node) };
    format!("{what}-{number}.tail9c2a.ts.net")
}

fn device_snapshot(node: usize) -> Draft {
    let owner = (!node.is_multiple_of(3)).then(|| format!("person{}@example.com", node / 2));
    let tags = if owner.is_none() { vec!["tag:server".to_owned()] } else { Vec::new() };
    let state = DeviceState {
        id: stable_id(node),
        name: Some(name(node)),
        addresses: vec![address(node).parse().expect("an address")],
        owner,
        tags: tags.into_iter().collect(),
        ..DeviceState::default()
    };
    let new = serde_json::to_value(&state).expect("a state is JSON");
    let change = Change {
        new: Some(Json::from(&new)),
        origin: Some("snapshot".into()),
        property: Some("device".into()),
        ..Change::default()
    };
    let time = Timestamp::from_seconds(BEGIN - 3600).unwrap_or_default();
    Draft {
        detail: Some(Detail::Change(Box::new(change))),
        target: Target { of_type: Some("device".into()), id: Some(stable_id(node)), ..Target::default() },
        ..Draft::new(Kind::ConfigSnapshot, time)
    }
}

/// HTTP requests, each with one window of one node.
fn uploads(args: &Args) -> Result<Vec<Vec<u8>>> {
    let mut random = Random::new(7);
    let windows = args.records.div_ceil(args.connections);
    // A node's connections stay the same for a while; their counts change.
    let peers: Vec<Vec<(usize, u16, u16)>> = (0..args.nodes)
        .map(|_| {
            let mut one = || {
                let port = *random.favourite(&[443, 5432, 53, 22, 9100, 6443, 8080, 3306, 6379]);
                (random.below(args.nodes), 32_768 + random.below(28_232) as u16, port)
            };
            (0..args.connections).map(|_| one()).collect()
        })
        .collect();
    (0..windows)
        .map(|window| {
            let (node, round) = (window % args.nodes, window / args.nodes);
            let body = body(&mut random, node, round, &peers[node]);
            let packed = zstd::encode_all(&body[..], 3)?;
            let private = format!("{:064x}", 0x4000_0000_u64 + node as u64);
            let copy = "d0".repeat(32);
            let mut request = format!(
                "POST /c/tailtraffic.log.tailscale.io/{private}?copyId={copy} HTTP/1.1\r\nHost: log.tailscale.com\r\n\
                 Content-Encoding: zstd\r\nOrig-Content-Length: {}\r\nContent-Length: {}\r\n\r\n",
                body.len(),
                packed.len()
            )
            .into_bytes();
            request.extend_from_slice(&packed);
            Ok(request)
        })
        .collect()
}

fn body(random: &mut Random, node: usize, round: usize, peers: &[(usize, u16, u16)]) -> Vec<u8> {
    let at = |seconds: i64, nanos: usize| {
        let start = Timestamp::from_seconds(BEGIN + seconds).unwrap_or_default();
        start.after(std::time::Duration::from_nanos(nanos as u64)).to_string()
    };
    let seconds = round as i64 * 5;
    let mut others: Vec<usize> = peers.iter().map(|(peer, _, _)| *peer).collect();
    others.sort_unstable();
    others.dedup();
    let node_json = |node: usize| json!({"nodeId": stable_id(node), "name": name(node), "addresses": [address(node)], "os": "linux"});
    let traffic: Vec<_> = peers
        .iter()
        .map(|&(peer, from, to)| {
            let (sent, got) = (60 + random.below(90_000), 60 + random.below(400_000));
            json!({"proto": 6, "src": format!("{}:{from}", address(node)), "dst": format!("{}:{to}", address(peer)),
                "txPkts": 1 + sent / 900, "txBytes": sent, "rxPkts": 1 + got / 900, "rxBytes": got})
        })
        .collect();
    json!([{
        "logtail": {"client_time": at(seconds + 5, 100_000_000 + node), "proc_id": 3_735_928_559_u64 - node as u64, "proc_seq": round + 1},
        "nodeId": stable_id(node), "start": at(seconds, node * 1_000_003), "end": at(seconds + 5, node * 1_000_003),
        "srcNode": node_json(node), "dstNodes": others.into_iter().map(node_json).collect::<Vec<_>>(),
        "virtualTraffic": traffic,
    }])
    .to_string()
    .into_bytes()
}

/// Sends every upload once; returns the seconds that each took, sorted.
fn send(address: SocketAddr, uploads: &[Vec<u8>], senders: usize) -> Result<Vec<f64>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut waits = std::thread::scope(|scope| {
        let sending: Vec<_> = (0..senders)
            .map(|_| {
                let next = next.clone();
                scope.spawn(move || sender(address, uploads, &next))
            })
            .collect();
        let mut waits = Vec::new();
        for one in sending {
            waits.extend(one.join().expect("a sender does not panic")?);
        }
        Ok::<_, anyhow::Error>(waits)
    })?;
    waits.sort_unstable_by(f64::total_cmp);
    Ok(waits)
}

fn sender(address: SocketAddr, uploads: &[Vec<u8>], next: &AtomicUsize) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut waits, mut answer) = (Vec::new(), [0; 1024]);
    while let Some(upload) = uploads.get(next.fetch_add(1, Ordering::Relaxed)) {
        let start = Instant::now();
        stream.write_all(upload)?;
        let mut read = 0;
        while !answer[..read].windows(4).any(|window| window == b"\r\n\r\n") {
            let more = stream.read(&mut answer[read..])?;
            ensure!(more > 0, "the server closed the connection");
            read += more;
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
        waits.push(start.elapsed().as_secs_f64());
    }
    Ok(waits)
}

/// CPU time of this process so far, in user and kernel mode.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(')').context("a name in parentheses")?.1;
    let ticks: Vec<f64> =
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // Linux counts in hundredths of a second wherever this runs.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Prints the size of the sealed part, compared with its leaves compressed by `zstd -3`.
async fn print_disk_use(folder: &Path) -> Result<()> {
    let trail = open_trail(folder).await?;
    let sealed = trail.snapshot().sealed();
    let bytes = folder_bytes(&folder.join("trails"))?;
    let mut packer = zstd::stream::write::Encoder::new(ByteCounter(0), 3)?;
    let (mut leaves, mut raw) = (0u64, 0u64);
    let mut rows = std::pin::pin!(trail.scan(Scan::oldest(0..sealed.min(MAX_COMPARED))));
    while let Some((_, leaf)) = rows.try_next().await? {
        packer.write_all(&leaf)?;
        packer.write_all(b"\n")?;
        leaves += 1;
        raw += leaf.len() as u64 + 1;
    }
    let packed = packer.finish()?.0;
    let each = |bytes: u64, count: u64| bytes as f64 / count.max(1) as f64;
    println!(
        "  on disk {:.2} bytes a record; as JSON {:.1}, zstd -3 {:.2}: {:.3} of zstd   (aim: 0.45)",
        each(bytes, sealed),
        each(raw, leaves),
        each(packed, leaves),
        each(bytes, sealed) / each(packed, leaves)
    );
    trail.close().await;
    Ok(())
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes +=
            if entry.file_type()?.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// Counts the bytes written.
struct ByteCounter(u64);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
