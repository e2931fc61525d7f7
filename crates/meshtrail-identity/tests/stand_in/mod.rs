//! A stand-in for tailscaled's LocalAPI on a real unix socket, for behaviour that the real one can't be made to show: slow,
//! huge, truncated and refused responses. Regular behaviour is tested end to end with a real tailscaled.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// How the stand-in answers one path.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A complete response with this status line and body.
    Whole(&'static str, String),
    /// These bytes; then the connection is closed.
    Raw(Vec<u8>),
    /// A response whose body is this many bytes of white space.
    Huge(usize),
    /// Only the head of a response.
    Stalls,
    /// Nothing at all.
    Silent,
    /// A complete response with this body, once the barrier opens.
    AtBarrier(QueryBarrier, String),
}

/// Blocks queries until `at_once` are blocked or all have arrived, to measure concurrency.
#[derive(Clone, Debug)]
pub(crate) struct QueryBarrier {
    at_once: usize,
    all: usize,
    counts: watch::Sender<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    asked: usize,
    answered: usize,
    most: usize,
}

impl QueryBarrier {
    pub(crate) fn new(at_once: usize, all: usize) -> QueryBarrier {
        QueryBarrier { at_once, all, counts: watch::Sender::new(Counts::default()) }
    }

    /// The most queries that were blocked at the same time.
    pub(crate) fn most(&self) -> usize {
        self.counts.borrow().most
    }

    /// A response is counted before it is sent: its client can't have sent the next query yet.
    async fn wait(&self) {
        self.counts.send_modify(|counts| {
            counts.asked += 1;
            counts.most = counts.most.max(counts.asked - counts.answered);
        });
        let full =
            |counts: &Counts| counts.asked - counts.answered >= self.at_once || counts.asked == self.all;
        drop(self.counts.subscribe().wait_for(full).await);
        self.counts.send_modify(|counts| counts.answered += 1);
    }
}

/// The status of a node that is up and has a network interface; used until the test sets another.
pub(crate) const RUNNING: &str = r#"{"BackendState":"Running","TUN":true,"TailscaleIPs":["100.64.0.9","fd7a:115c:a1e0::9"],
    "Self":{"ID":"n9","DNSName":"rec.tail.example.","UserID":3}}"#;

/// A LocalAPI stand-in; it ends with the test's runtime.
pub(crate) struct LocalApiStandIn {
    folder: tempfile::TempDir,
    whois: Arc<Mutex<Answer>>,
    status: Arc<Mutex<Answer>>,
    questions: Arc<Mutex<Vec<String>>>,
}

impl LocalApiStandIn {
    pub(crate) fn start() -> LocalApiStandIn {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("ts.sock")).unwrap();
        let stand_in = LocalApiStandIn {
            folder,
            whois: Arc::new(Mutex::new(Answer::Whole("404 Not Found", "no match for IP:port\n".to_owned()))),
            status: Arc::new(Mutex::new(Answer::Whole("200 OK", RUNNING.to_owned()))),
            questions: Arc::default(),
        };
        let (whois, status) = (stand_in.whois.clone(), stand_in.status.clone());
        let questions = stand_in.questions.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (whois, status) = (whois.clone(), status.clone());
                let questions = questions.clone();
                tokio::spawn(async move {
                    let _closed = serve(stream, &whois, &status, &questions).await;
                });
            }
        });
        stand_in
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("ts.sock")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn whois_answers(&self, answer: Answer) {
        *self.whois.lock().unwrap() = answer;
    }

    pub(crate) fn status_answers(&self, answer: Answer) {
        *self.status.lock().unwrap() = answer;
    }

    /// The heads of requests for `path`, in order.
    pub(crate) fn questions(&self, path: &str) -> Vec<String> {
        self.questions.lock().unwrap().iter().filter(|head| head.contains(path)).cloned().collect()
    }
}

async fn serve(
    mut stream: UnixStream,
    whois: &Mutex<Answer>,
    status: &Mutex<Answer>,
    questions: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = if head.contains("/localapi/v0/whois?") { whois } else { status }.lock().unwrap().clone();
    questions.lock().unwrap().push(head);
    match answer {
        Answer::Whole(line, body) => {
            let text = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await?;
        }
        Answer::AtBarrier(barrier, body) => {
            barrier.wait().await;
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await?;
        }
        Answer::Raw(bytes) => stream.write_all(&bytes).await?,
        Answer::Huge(length) => {
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())
                .await?;
            let spaces = vec![b' '; 64 << 10];
            for _ in 0..length / spaces.len() {
                stream.write_all(&spaces).await?;
            }
        }
        Answer::Stalls => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").await?;
            std::future::pending::<()>().await;
        }
        Answer::Silent => std::future::pending::<()>().await,
    }
    stream.shutdown().await
}
