//! MinIO on loopback with one bucket.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::process::{Process, child_command, peer, run};
use crate::{WAIT_LIMIT, http_client, until};

/// A MinIO server with one versioned bucket under Object Lock.
#[derive(Debug)]
pub struct Bucket {
    /// The server.
    pub process: Process,
    endpoint: String,
    name: String,
    folder: std::path::PathBuf,
}

/// One version of one key.
#[derive(Debug, Clone, Deserialize)]
pub struct Version {
    /// The key.
    pub key: String,
    /// The version's id.
    pub version: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it is the newest version.
    pub latest: bool,
    /// Whether it is a delete marker.
    pub marker: bool,
}

impl Bucket {
    /// Starts MinIO with its data below `folder` and makes the bucket.
    pub async fn start(folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let process = Self::serve(folder, &address)?;
        let bucket = Self {
            process,
            endpoint: format!("http://{address}"),
            name: "trail".into(),
            folder: folder.to_owned(),
        };
        bucket.wait_until_ready().await?;
        bucket.command(&["make", "-lock"], None).await?;
        Ok(bucket)
    }

    fn serve(folder: &Path, address: &str) -> Result<Process> {
        let mut command = child_command(peer("minio")?);
        command.args(["server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0"]);
        command.arg(folder.join("minio"));
        command.envs([
            ("MINIO_ROOT_USER", USER),
            ("MINIO_ROOT_PASSWORD", PASSWORD),
            ("MINIO_BROWSER", "off"),
        ]);
        command.envs([("MINIO_UPDATE", "off"), ("HOME", "/nonexistent")]);
        Process::start("minio", folder, command)
    }

    /// Starts MinIO again after it was stopped, on the same address and data.
    pub async fn start_again(&mut self) -> Result<()> {
        let address = self.endpoint.trim_start_matches("http://").to_owned();
        self.process = Self::serve(&self.folder, &address)?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let http = http_client();
        let live = format!("{}/minio/health/ready", self.endpoint);
        until("MinIO to answer", WAIT_LIMIT, async || {
            http.get(&live).send().await.ok()?.status().is_success().then_some(())
        })
        .await
        .with_context(|| self.process.tail())
    }

    /// `s3://bucket/prefix`
    pub fn store(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.name)
    }

    /// The environment with which `meshtrail` can access the bucket.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", USER),
            ("AWS_SECRET_ACCESS_KEY", PASSWORD),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Every version of every key.
    pub async fn versions(&self) -> Result<Vec<Version>> {
        let output = self.command(&["list"], None).await?;
        let lines = String::from_utf8(output)?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The newest version of a key.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.command(&["get", key], None).await
    }

    /// Writes a new version of a key.
    pub async fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let file = self.folder.join("put");
        std::fs::write(&file, bytes)?;
        self.command(&["put", key], Some(&file)).await.map(drop)
    }

    /// A plain delete: adds a delete marker.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.command(&["delete", key], None).await.map(drop)
    }

    async fn command(&self, arguments: &[&str], input: Option<&Path>) -> Result<Vec<u8>> {
        let mut command: Command = child_command("sh");
        let from = input.map_or_else(|| "/dev/null".to_owned(), |file| file.display().to_string());
        let (verb, rest) = arguments.split_first().context("a verb")?;
        command.arg("-c").arg(format!("exec \"$@\" < '{from}'")).arg("sh").arg(peer("bucket")?);
        command.arg(verb).arg(&self.name).args(rest).envs(self.environment());
        let output = run(&format!("bucket {verb}"), command, WAIT_LIMIT).await?;
        ensure!(output.status.success(), "bucket {verb}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }
}

const USER: &str = "meshtrail-tests";
const PASSWORD: &str = "not-a-secret-at-all";

/// A free port on loopback: MinIO reports a port that it chose only in its log.
fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}
