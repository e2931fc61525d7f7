//! One test suite for every backend, and tests of buckets alone.
//!
//! The bucket part runs against MinIO from the folder in `MESHTRAIL_PEERS_BIN`; without it, it reports that it is skipped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use object_store::{ClientConfigKey, ClientOptions};

use super::*;

const POLICY: WritePolicy = WritePolicy {
    retention: Some(ObjectRetention { mode: RetentionMode::Governance, keep: Duration::from_secs(3600) }),
    group: None,
};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test]
async fn a_folder_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::Folder(folder.path().join("new/store"));
    let store = Store::open(&location, &POLICY).await.unwrap();
    suite(&store).await;
    assert_eq!(Store::open(&location, &POLICY).await.unwrap().list(&key("probe")).await.unwrap(), []);
}

#[tokio::test]
async fn a_folder_sweeps_what_a_crash_left_and_never_lists_it() {
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::Folder(folder.path().to_owned());
    drop(Store::open(&location, &POLICY).await.unwrap());
    let left = folder.path().join(".tmp/99-1");
    let file = std::fs::File::create(&left).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200)).unwrap();
    drop(Store::open(&location, &POLICY).await.unwrap());
    assert!(!left.exists());
}

#[tokio::test]
async fn a_file_where_the_store_should_be_is_a_clear_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let location = StoreLocation::Folder(file.path().to_owned());
    let error = Store::open(&location, &POLICY).await.unwrap_err();
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_or_does_not_answer_is_a_clear_error_in_bounded_time() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = settings(&format!("http://{free}"));
    let error = Store::open_bucket(settings, "audit", "", &POLICY).await.unwrap_err();
    assert!(error.to_string().contains("s3://audit"), "{error}");
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}

#[tokio::test]
async fn plain_http_has_to_be_asked_for() {
    let settings = AmazonS3Builder::new()
        .with_access_key_id("a")
        .with_secret_access_key("b")
        .with_endpoint("http://127.0.0.1:9");
    let error = Store::open_bucket(settings, "audit", "", &POLICY).await.unwrap_err();
    assert!(error.to_string().contains("AWS_ALLOW_HTTP"), "{error}");
}

#[tokio::test]
async fn buckets_pass_the_suite_and_keep_what_was_locked() {
    let Some(minio) = Minio::start().await else {
        println!("SKIPPED: 1 test of the bucket store; set MESHTRAIL_PEERS_BIN to a folder with minio");
        return;
    };
    for (bucket, kind) in
        [("plain", BucketKind::Plain), ("versioned", BucketKind::Versioned), ("locked", BucketKind::Locked)]
    {
        minio.make(bucket, kind).await;
        let open = || Store::open_bucket(settings(&minio.endpoint), bucket, "some/prefix", &POLICY);
        let store = open().await.unwrap();
        assert_eq!(store.facts().versioning != Versioning::Off, kind != BucketKind::Plain, "{bucket}");
        assert_eq!(store.facts().object_lock != ObjectLock::Off, kind == BucketKind::Locked, "{bucket}");
        suite(&store).await;
        assert_eq!(store.list(&key("probe")).await.unwrap(), [], "{bucket}");
    }
    let missing = Store::open_bucket(settings(&minio.endpoint), "absent", "", &POLICY).await.unwrap_err();
    assert!(missing.to_string().contains("s3://absent"), "{missing}");
    shadowing_is_seen(&minio).await;
}

/// A plain delete puts a marker over a locked object, after which anything can be written under its key.
async fn shadowing_is_seen(minio: &Minio) {
    let store = Store::open_bucket(settings(&minio.endpoint), "locked", "worm", &POLICY).await.unwrap();
    let kept = key("trails/main/manifest/1.json");
    store.put_new(&kept, Bytes::from_static(b"first")).await.unwrap();
    assert!(matches!(store.delete(&kept).await, Err(StoreError::Locked { .. })));

    minio.send("DELETE", "/locked/worm/trails/main/manifest/1.json", &[], "").await;
    let fresh = Store::open_bucket(settings(&minio.endpoint), "locked", "worm", &POLICY).await.unwrap();
    assert_eq!(fresh.get(&kept).await.unwrap(), "first", "a marker hides nothing from us");
    assert_eq!(fresh.list(&key("trails")).await.unwrap(), [Entry { key: kept.clone(), size: 5 }]);
    let shadow = fresh.put_new(&kept, Bytes::from_static(b"forged")).await;
    assert!(matches!(shadow, Err(PutError::Shadowed { .. })), "{shadow:?}");
    assert_eq!(fresh.get(&kept).await.unwrap(), "first");
    assert_eq!(fresh.get_range(&kept, 1..3).await.unwrap(), "ir");
    assert_eq!(fresh.size(&kept).await.unwrap(), 5);

    let seen = fresh.audit(&key("trails")).await.unwrap();
    let kinds: Vec<_> = seen.iter().map(|tampering| (tampering.key.as_str(), tampering.what)).collect();
    let name = kept.as_str();
    assert_eq!(kinds, [(name, TamperingKind::LaterVersion), (name, TamperingKind::DeleteMarker)]);
}

async fn suite(store: &Store) {
    what_was_put_is_read_back(store).await;
    a_taken_key_is_refused_and_untouched(store).await;
    one_of_many_writers_wins(store).await;
    only_checkpoints_are_replaced(store).await;
    listings_are_sorted_and_complete(store).await;
    deleting_is_final_and_repeatable(store).await;
    assert_eq!(store.audit(&key("t")).await.unwrap(), [], "nothing the suite did looks like tampering");
}

async fn what_was_put_is_read_back(store: &Store) {
    let name = key("t/family=flow/date=2026-11-20/1-2.parquet");
    let bytes: Bytes = (0..100_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into();
    store.put_new(&name, bytes.clone()).await.unwrap();
    assert_eq!(store.get(&name).await.unwrap(), bytes);
    assert_eq!(store.size(&name).await.unwrap(), 400_000);
    assert_eq!(store.get_range(&name, 399_990..400_000).await.unwrap(), bytes[399_990..]);
    let parts = store.get_ranges(&name, vec![5..9, 0..1, 300_000..300_004, 7..7]).await.unwrap();
    assert_eq!(parts, [&bytes[5..9], &bytes[0..1], &bytes[300_000..300_004], &[]]);
    let past = store.get_range(&name, 399_990..400_001).await;
    assert!(matches!(past, Err(GetError::Short { size: 400_000, .. })), "{past:?}");
    let empty = key("t/empty");
    store.put_new(&empty, Bytes::new()).await.unwrap();
    assert_eq!(store.get(&empty).await.unwrap(), Bytes::new());
    for missing in ["t/none", "t", "t/family=flow"] {
        assert!(matches!(store.get(&key(missing)).await, Err(GetError::Missing { .. })), "{missing}");
        assert!(matches!(store.size(&key(missing)).await, Err(GetError::Missing { .. })), "{missing}");
    }
}

async fn a_taken_key_is_refused_and_untouched(store: &Store) {
    let name = key("t/manifest/7.json");
    store.put_new(&name, Bytes::from_static(b"first")).await.unwrap();
    for bytes in ["second", "first"] {
        let again = store.put_new(&name, Bytes::from_static(bytes.as_bytes())).await;
        assert!(matches!(again, Err(PutError::Exists { .. })), "{again:?}");
    }
    assert_eq!(store.get(&name).await.unwrap(), "first");
}

async fn one_of_many_writers_wins(store: &Store) {
    let name = key("t/contested");
    let writers = (0..8).map(|writer| {
        let (store, name) = (store.clone(), name.clone());
        tokio::spawn(async move { (writer, store.put_new(&name, Bytes::from(vec![writer; 1000])).await) })
    });
    let ended = futures::future::join_all(writers).await;
    let won: Vec<u8> =
        ended.into_iter().map(Result::unwrap).filter(|(_, put)| put.is_ok()).map(|(who, _)| who).collect();
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(store.get(&name).await.unwrap(), vec![won[0]; 1000]);
}

async fn only_checkpoints_are_replaced(store: &Store) {
    let name = key("t/checkpoint");
    for text in ["one", "two", "three"] {
        store.replace(&name, Bytes::from_static(text.as_bytes())).await.unwrap();
        assert_eq!(store.get(&name).await.unwrap(), text);
    }
    let refused = store.replace(&key("t/manifest/7.json"), Bytes::new()).await;
    assert!(matches!(refused, Err(StoreError::NotReplaceable { .. })));
}

async fn listings_are_sorted_and_complete(store: &Store) {
    for number in [3, 1, 2] {
        store.put_new(&key(&format!("t/list/d/{number}")), Bytes::from(vec![0; number])).await.unwrap();
    }
    store.put_new(&key("t/list-other"), Bytes::new()).await.unwrap();
    let entry = |number: u64| Entry { key: key(&format!("t/list/d/{number}")), size: number };
    assert_eq!(store.list(&key("t/list")).await.unwrap(), [entry(1), entry(2), entry(3)]);
    assert_eq!(store.list(&key("t/nothing")).await.unwrap(), []);
}

async fn deleting_is_final_and_repeatable(store: &Store) {
    let name = key("t/chunk");
    store.put_transient(&name, Bytes::from_static(b"gone soon")).await.unwrap();
    store.delete(&name).await.unwrap();
    store.delete(&name).await.unwrap();
    assert!(matches!(store.get(&name).await, Err(GetError::Missing { .. })));
    store.put_transient(&name, Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(store.get(&name).await.unwrap(), "again");
    store.delete(&name).await.unwrap();
}

fn settings(endpoint: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_access_key_id(Minio::USER)
        .with_secret_access_key(Minio::PASSWORD)
        .with_endpoint(endpoint)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp), "true")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BucketKind {
    Plain,
    Versioned,
    Locked,
}

/// A MinIO process on a free port, stopped with the test.
struct Minio {
    endpoint: String,
    process: Child,
    _data: tempfile::TempDir,
}

impl Minio {
    const USER: &str = "meshtrail-test";
    const PASSWORD: &str = "meshtrail-test-secret";

    async fn start() -> Option<Self> {
        let program = std::path::Path::new(&std::env::var_os("MESHTRAIL_PEERS_BIN")?).join("minio");
        let data = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(program)
            .args(["server", "--quiet", "--address", &address.to_string()])
            .arg(data.path())
            .env("MINIO_ROOT_USER", Self::USER)
            .env("MINIO_ROOT_PASSWORD", Self::PASSWORD)
            .env("MINIO_BROWSER", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("minio starts");
        let minio = Self { endpoint: format!("http://{address}"), process, _data: data };
        for _ in 0..300 {
            let answers = minio.try_send("GET", "/", &[], "").await;
            if answers == Some(200) {
                return Some(minio);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("minio did not answer within 30 s");
    }

    async fn make(&self, bucket: &str, kind: BucketKind) {
        let lock: &[_] =
            if kind == BucketKind::Locked { &[("x-amz-bucket-object-lock-enabled", "true")] } else { &[] };
        self.send("PUT", &format!("/{bucket}"), lock, "").await;
        if kind == BucketKind::Versioned {
            let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
            self.send("PUT", &format!("/{bucket}?versioning="), &[], enabled).await;
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let status = self.try_send(method, path, headers, body).await.unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status}");
    }

    async fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<u16> {
        let options = ClientOptions::new().with_allow_http(true);
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let client = ReqwestConnector::default().connect(&options).unwrap();
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.endpoint));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(HttpRequestBody::from(Bytes::from(body.to_owned()))).unwrap();
        let credential =
            AwsCredential { key_id: Self::USER.into(), secret_key: Self::PASSWORD.into(), token: None };
        AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None).unwrap();
        Some(client.execute(request).await.ok()?.status().as_u16())
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
