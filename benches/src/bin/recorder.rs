//! Capacity of a recorder: ten thousand open sessions, and the throughput of a single session.
//!
//! `cargo run --release -p meshtrail-bench --bin recorder -- [--sessions 10000] [--seconds 30] [--folder DIR]`
//!
//! The recorder runs in a separate process, the senders in this one; both on loopback, with the files in `--folder`.
//! With `--program target/release/meshtrail` it is the whole server, with everything else that it does for a session.
//! Each sender has its own connection, like a node, and sends one line a second; its latency counts from passing the
//! line to the connection until the first frame that acknowledges it as durable.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request,
    body::{Frame, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshtrail_bench::recorder;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

#[derive(Parser, Clone)]
struct Options {
    /// Sessions that are open at a time.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Seconds to send for.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Megabytes that one session sends.
    #[arg(long, default_value_t = 512)]
    megabytes: u64,
    /// Where the recorder keeps its files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The server's program, in place of a recorder alone.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Runs the recorder itself.
    #[arg(long, hide = true)]
    serve: bool,
}

const HEADER: &str = concat!(
    r#"{"version":2,"width":80,"height":24,"srcNode":"laptop.tail.example","srcNodeID":"7","#,
    r#""srcNodeUser":"alice@example.com","env":{"TERM":"xterm-256color"},"sshUser":"root","localUser":"root"}"#,
    "\n"
);

fn main() -> Result<()> {
    let options = Options::parse();
    raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if options.serve {
        let folder = options.folder.context("--serve needs --folder")?;
        return runtime.block_on(recorder::serve(&folder));
    }
    let temporary = tempfile::tempdir()?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    runtime.block_on(many_sessions(&options, &folder.join("many")))?;
    runtime.block_on(one_session(&options, &folder.join("one")))
}

/// Raises the limit of open files: both ends need a socket per session, and some files.
fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// A recorder in a separate process.
struct Recorder {
    child: Child,
    address: SocketAddr,
}

impl Recorder {
    fn start(options: &Options, folder: &Path) -> Result<Recorder> {
        std::fs::create_dir_all(folder)?;
        match &options.program {
            Some(program) => Self::start_server(program, folder),
            None => Self::start_alone(folder),
        }
    }

    /// The whole server. All senders have one address here, which may use all places.
    fn start_server(program: &Path, folder: &Path) -> Result<Recorder> {
        let (config, ready) = (folder.join("meshtrail.toml"), folder.join("ready"));
        std::fs::write(&config, "[limits]\nper_peer = 1.0\n")?;
        let child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--recorder-listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stderr(File::create(folder.join("log"))?)
            .spawn()?;
        // A server that fails to start is stopped, with its log left in the folder.
        let mut server = Recorder { child, address: ([127, 0, 0, 1], 0).into() };
        for _ in 0..300 {
            if let Ok(text) = std::fs::read(&ready)
                && let Ok(ready) = serde_json::from_slice::<serde_json::Value>(&text)
            {
                let address = &ready["recorder_listen"];
                let text =
                    address.as_str().or_else(|| address[0].as_str()).context("no recorder's address")?;
                server.address = text.parse()?;
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("{} is not ready after 30 s", program.display())
    }

    fn start_alone(folder: &Path) -> Result<Recorder> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", "--folder"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the recorder said {line:?}"))?;
        Ok(Recorder { child, address })
    }

    /// Resident memory in KiB.
    fn rss(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    }
}

impl Recorder {
    /// Seconds of processor time used so far.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().context("no name")?;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            println!("the recorder could not be stopped: {error}");
        }
    }
}

type BodySender = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

/// One upload.
struct Session {
    sending: BodySender,
    acks: Incoming,
}

impl Session {
    async fn open(address: SocketAddr) -> Result<Session> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) =
            http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (sending, body) = mpsc::channel(4);
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body));
        let uri = format!("http://{address}/v2/record");
        let answer = sender.send_request(Request::post(uri).body(body)?).await?;
        ensure!(answer.status() == 200, "the recorder answered {}", answer.status());
        let session = Session { sending, acks: answer.into_body() };
        session.send(Bytes::from_static(HEADER.as_bytes())).await?;
        Ok(session)
    }

    async fn send(&self, bytes: Bytes) -> Result<()> {
        self.sending.send(Ok(Frame::data(bytes))).await.context("the upload was cut off")
    }
}

/// Calls `on_ack` with the number of each ack.
async fn read_acks(mut acks: Incoming, mut on_ack: impl FnMut(u64)) -> Result<()> {
    let mut rest = Vec::new();
    while let Some(frame) = acks.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let frame: serde_json::Value = serde_json::from_slice(&line)?;
            if let Some(error) = frame["error"].as_str() {
                bail!("the recorder failed: {error}");
            }
            on_ack(frame["ack"].as_u64().unwrap_or(0));
        }
    }
    Ok(())
}

async fn many_sessions(options: &Options, folder: &Path) -> Result<()> {
    let recorder = Recorder::start(options, folder)?;
    let count = options.sessions;
    let empty = recorder.rss()?;
    let start = Instant::now();
    let mut sessions = Vec::with_capacity(count);
    for batch in (0..count).step_by(200) {
        let opening = (batch..count.min(batch + 200)).map(|_| Session::open(recorder.address));
        sessions.extend(futures::future::try_join_all(opening).await?);
    }
    println!("{count} sessions opened in {:.1} s", start.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = recorder.rss()?;
    println!(
        "RSS: {} MiB empty, {} MiB with {count} idle sessions: {:.1} KiB a session",
        empty / 1024,
        idle / 1024,
        idle.saturating_sub(empty) as f64 / count as f64
    );
    let (worked, start) = (recorder.cpu()?, Instant::now());
    let mut latencies = send_for(Duration::from_secs(options.seconds), sessions).await?;
    let (worked, took) = (recorder.cpu()? - worked, start.elapsed());
    println!(
        "the recorder used {:.2} cores and {:.0} us a frame",
        worked / took.as_secs_f64(),
        worked * 1e6 / latencies.len().max(1) as f64
    );
    latencies.sort_unstable();
    ensure!(!latencies.is_empty(), "nothing was acknowledged");
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{} frames acknowledged as durable: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, longest {:.1?}",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!("RSS while sending: {} MiB", recorder.rss()? / 1024);
    Ok(())
}

/// Each session sends one line a second, at times spread over the second.
async fn send_for(time: Duration, sessions: Vec<Session>) -> Result<Vec<Duration>> {
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let gap = Duration::from_secs(1) / u32::try_from(sessions.len())?;
    let mut senders = JoinSet::new();
    let start = tokio::time::Instant::now();
    for (index, session) in sessions.into_iter().enumerate() {
        let first = start + gap * u32::try_from(index)?;
        let latencies = latencies.clone();
        senders.spawn(send_each_second(session, first, start + time, latencies));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    let latencies = latencies.lock().map_err(|_| anyhow::anyhow!("a sender panicked"))?;
    Ok(latencies.clone())
}

async fn send_each_second(
    session: Session,
    first: tokio::time::Instant,
    until: tokio::time::Instant,
    latencies: Arc<Mutex<Vec<Duration>>>,
) -> Result<()> {
    let Session { sending, acks } = session;
    // The end offset of the last line sent, and the time when it was sent.
    let waiting = Arc::new(Mutex::new(None::<(u64, Instant)>));
    let (newest, mine) = (waiting.clone(), latencies.clone());
    let reading = tokio::spawn(read_acks(acks, move |ack| {
        let mut waiting = newest.lock().expect("nothing panics while it is held");
        if let Some((_, sent)) = waiting.take_if(|(bytes, _)| *bytes <= ack) {
            mine.lock().expect("nothing panics while it is held").push(sent.elapsed());
        }
    }));
    let mut interval = tokio::time::interval_at(first, Duration::from_secs(1));
    let (mut bytes, mut second) = (HEADER.len() as u64, 0);
    while tokio::time::Instant::now() < until {
        interval.tick().await;
        second += 1;
        let line = format!(
            "[{second}.000001,\"o\",\"\\u001b[32muser@host\\u001b[0m:~$ make test {second}\\r\\n\"]\n"
        );
        bytes += line.len() as u64;
        *waiting.lock().expect("nothing panics while it is held") = Some((bytes, Instant::now()));
        sending.send(Ok(Frame::data(line.into()))).await.context("the upload was cut off")?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    reading.abort();
    Ok(())
}

/// One session at full speed, compared with a plain copy of the same bytes with a sync each 256 KiB.
async fn one_session(options: &Options, folder: &Path) -> Result<()> {
    let bytes = options.megabytes << 20;
    std::fs::create_dir_all(folder)?;
    let piece: Bytes = sample_lines(64 << 10).into();
    let copy_time = copy_plainly(&folder.join("plain"), &piece, bytes)?;
    let recorder = Recorder::start(options, &folder.join("recorder"))?;
    let Session { sending, acks } = Session::open(recorder.address).await?;
    let acked = Arc::new(AtomicU64::new(0));
    let newest = acked.clone();
    let reading = tokio::spawn(read_acks(acks, move |ack| newest.store(ack, Ordering::Relaxed)));
    let start = Instant::now();
    let mut sent = 0;
    while sent < bytes {
        sending.send(Ok(Frame::data(piece.clone()))).await.context("the upload was cut off")?;
        sent += piece.len() as u64;
    }
    drop(sending);
    reading.await??;
    let upload_time = start.elapsed();
    ensure!(acked.load(Ordering::Relaxed) == sent + HEADER.len() as u64, "not all was acknowledged");
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / f64::from(1 << 20);
    println!(
        "one session of {} MiB: {:.0} MiB/s until the last ack; plain copy with a sync each 256 KiB: {:.0} MiB/s; {:.2} x",
        options.megabytes,
        rate(upload_time),
        rate(copy_time),
        rate(upload_time) / rate(copy_time)
    );
    println!("RSS after it: {} MiB", recorder.rss()? / 1024);
    Ok(())
}

fn copy_plainly(path: &Path, piece: &[u8], bytes: u64) -> Result<Duration> {
    let mut file = File::create(path)?;
    let start = Instant::now();
    let (mut written, mut unsynced) = (0, 0);
    while written < bytes {
        file.write_all(piece)?;
        written += piece.len() as u64;
        unsynced += piece.len();
        if unsynced >= 256 << 10 {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    file.sync_data()?;
    let took = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(took)
}

fn sample_lines(length: usize) -> Vec<u8> {
    let mut lines = Vec::with_capacity(length + 128);
    let mut number = 0;
    while lines.len() < length {
        number += 1;
        lines.extend_from_slice(
            format!(
                "[1.5,\"o\",\"compiling crate {number} of many with flags -O{}\\r\\n\"]\n",
                number * 7919 % 97
            )
            .as_bytes(),
        );
    }
    lines
}
