//! A fake bucket with faults that no real bucket produces on request. Correct behaviour is tested with a real one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::ClientConfigKey;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Key, PutError, Store, StoreError, WritePolicy};

/// The fault of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BucketFault {
    /// Accepts every write.
    Overwrites,
    /// Returns stale or missing objects.
    IsStale,
    /// Performs the first write of each object, but closes the connection instead of answering it.
    LosesAnswers,
    /// Answers every other request with 503.
    IsBusy,
    /// Refuses the credentials.
    Refuses,
}

struct FaultyBucket {
    fault: BucketFault,
    objects: HashMap<String, Vec<u8>>,
    requests: usize,
}

impl FaultyBucket {
    async fn serve(fault: BucketFault) -> (String, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bucket = Arc::new(Mutex::new(Self { fault, objects: HashMap::new(), requests: 0 }));
        let serving = tokio::spawn(async move {
            // Dropped with the task, together with all connections.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let bucket = bucket.clone();
                connections.spawn(async move {
                    let _gone = connection(stream, &bucket).await;
                });
            }
        });
        (format!("http://{address}"), serving)
    }

    /// Status and body of the answer; none to close the connection.
    fn answer(
        &mut self,
        method: &str,
        path: &str,
        is_conditional: bool,
        body: Vec<u8>,
    ) -> Option<(u16, Vec<u8>)> {
        self.requests += 1;
        let known = self.objects.get(path).cloned();
        Some(match (self.fault, method) {
            (BucketFault::Refuses, _) => (403, b"<Error><Code>AccessDenied</Code></Error>".to_vec()),
            (BucketFault::IsBusy, _) if self.requests % 2 == 1 => {
                (503, b"<Error><Code>SlowDown</Code></Error>".to_vec())
            }
            (_, "GET") if path.contains('?') => (404, Vec::new()),
            (BucketFault::IsStale, "GET") => (404, Vec::new()),
            (_, "GET") => known.map_or((404, Vec::new()), |body| (200, body)),
            (_, "PUT") if is_conditional && known.is_some() && self.fault != BucketFault::Overwrites => {
                (412, Vec::new())
            }
            (_, "PUT") => {
                self.objects.insert(path.to_owned(), body);
                if self.fault == BucketFault::LosesAnswers {
                    return None;
                }
                (200, Vec::new())
            }
            _ => {
                self.objects.remove(path);
                (204, Vec::new())
            }
        })
    }
}

async fn connection(mut stream: TcpStream, bucket: &Mutex<FaultyBucket>) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(read[..end].to_vec()).ok()?.to_ascii_lowercase();
                read.drain(..end + 4);
                break head;
            }
            stream.read_buf(&mut read).await.ok().filter(|&bytes| bytes > 0)?;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        while read.len() < length {
            stream.read_buf(&mut read).await.ok().filter(|&bytes| bytes > 0)?;
        }
        let body: Vec<u8> = read.drain(..length).collect();
        let mut words = head.split(' ');
        let (method, path) = (words.next()?.to_ascii_uppercase(), words.next()?);
        let conditional = head.contains("if-none-match: *");
        let (status, body) = bucket.lock().unwrap().answer(&method, path, conditional, body)?;
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\netag: \"1\"\r\nlast-modified: Fri, 20 Nov 2026 14:00:00 GMT\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}

async fn open(endpoint: &str) -> Result<Store, StoreError> {
    let settings = AmazonS3Builder::new()
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_endpoint(endpoint)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp), "true");
    Store::open_bucket(settings, "audit", "mesh", &WritePolicy::default()).await
}

#[tokio::test]
async fn a_bucket_that_overwrites_or_forgets_is_turned_down_with_the_reason() {
    let (endpoint, _serving) = FaultyBucket::serve(BucketFault::Overwrites).await;
    let error = open(&endpoint).await.unwrap_err();
    assert!(matches!(error, StoreError::Overwrites { .. }), "{error}");
    assert!(error.to_string().contains("If-None-Match"), "{error}");

    let (endpoint, _serving) = FaultyBucket::serve(BucketFault::IsStale).await;
    let error = open(&endpoint).await.unwrap_err();
    assert!(matches!(error, StoreError::Stale { .. }), "{error}");
}

#[tokio::test]
async fn refused_credentials_are_named_at_once() {
    let (endpoint, _serving) = FaultyBucket::serve(BucketFault::Refuses).await;
    let began = Instant::now();
    let error = open(&endpoint).await.unwrap_err();
    assert!(error.to_string().contains("credentials"), "{error}");
    assert!(began.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_settled_by_what_lies_there() {
    let (endpoint, _serving) = FaultyBucket::serve(BucketFault::LosesAnswers).await;
    let store = open(&endpoint).await.unwrap();
    let key = Key::new("manifest/1.json").unwrap();
    store.put_new(&key, Bytes::from_static(b"ours")).await.unwrap();
    let theirs = store.put_new(&key, Bytes::from_static(b"theirs")).await;
    assert!(matches!(theirs, Err(PutError::Exists { .. })), "{theirs:?}");
    assert_eq!(store.get(&key).await.unwrap(), "ours");
}

#[tokio::test]
async fn a_busy_bucket_is_asked_again_and_a_dead_one_is_an_error_soon() {
    let (endpoint, serving) = FaultyBucket::serve(BucketFault::IsBusy).await;
    let store = open(&endpoint).await.unwrap();
    let key = Key::new("segments/1.parquet").unwrap();
    store.put_new(&key, Bytes::from_static(b"rows")).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), "rows");

    serving.abort();
    let _aborted = serving.await;
    let key = Key::new("segments/2.parquet").unwrap();
    let dead = tokio::time::timeout(Duration::from_secs(40), store.put_new(&key, Bytes::new()));
    let error = dead.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}
