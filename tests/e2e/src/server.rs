//! `meshtrail serve`, its API and its command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{Process, child_command, run};
use crate::tailnet::prefixed_command;
use crate::{WAIT_LIMIT, http_client, until};

/// Settings with which a server is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// `--store`; a folder below the test's when not given.
    pub store: Option<String>,
    /// `--listen`; a free port on loopback when not given.
    pub listen: Option<String>,
    /// `--recorder-listen`; a free port on loopback when empty.
    pub recorder: Vec<String>,
    /// `--tailscale-socket`
    pub socket: Option<PathBuf>,
    /// A configuration file's text.
    pub config: Option<String>,
    /// Environment of the server, such as a bucket's credentials.
    pub environment: Vec<(String, String)>,
    /// The command prefix that enters a namespace.
    pub command_prefix: Vec<String>,
}

/// The binary under test.
pub fn meshtrail() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("MESHTRAIL_BIN") {
        return Ok(binary.into());
    }
    // The path of this test is target/debug/deps/…
    let test = std::env::current_exe()?;
    let binary =
        test.parent().and_then(Path::parent).context("a test lies in a target folder")?.join("meshtrail");
    ensure!(binary.is_file(), "{} is not there: run the tests with `cargo xtask e2e`", binary.display());
    Ok(binary)
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its API.
    pub url: String,
    /// Its first recorder.
    pub recorder: String,
    /// All of its recorders.
    pub recorders: Vec<String>,
    /// The admin token.
    pub token: String,
    /// Its process.
    pub process: Process,
    store: String,
    data: PathBuf,
    setup: Setup,
    folder: PathBuf,
    http: reqwest::Client,
}

/// The outcome of `verify`.
#[derive(Debug)]
pub struct VerifyOutcome {
    /// Whether everything holds (exit status 0).
    pub holds: bool,
    /// All its output.
    pub text: String,
}

impl Server {
    /// Starts a server and waits until it reports that it is ready.
    pub async fn start(folder: &Path, setup: &Setup) -> Result<Self> {
        Self::start_named("server", folder, setup).await
    }

    /// Starts a server with its own name for logs and state, for several servers in one test.
    pub async fn start_named(name: &str, folder: &Path, setup: &Setup) -> Result<Self> {
        let data = folder.join(format!("{name}-data"));
        let store = setup.store.clone().unwrap_or_else(|| data.display().to_string());
        let ready = folder.join(format!("{name}-ready.json"));
        drop(std::fs::remove_file(&ready));
        let command = Self::command(name, folder, setup, &store, &data, &ready)?;
        let mut process = Process::start(name, folder, command)?;
        let addresses = Self::ready(&mut process, &ready).await?;
        let listen = addresses["listen"].as_str().context("`listen` in the ready file")?;
        let recorders: Vec<String> = serde_json::from_value(addresses["recorder_listen"].clone())?;
        let token_file =
            addresses["admin_token_file"].as_str().context("`admin_token_file` in the ready file")?;
        let token = std::fs::read_to_string(token_file)?.trim().to_owned();
        Ok(Self {
            url: format!("http://{listen}"),
            recorder: recorders.first().cloned().unwrap_or_default(),
            recorders,
            token,
            process,
            store,
            data,
            setup: setup.clone(),
            folder: folder.to_owned(),
            http: http_client(),
        })
    }

    /// The command line of a server, for servers that are expected not to become ready.
    pub fn command(
        name: &str,
        folder: &Path,
        setup: &Setup,
        store: &str,
        data: &Path,
        ready: &Path,
    ) -> Result<Command> {
        let mut command = prefixed_command(&setup.command_prefix, &meshtrail()?);
        let listen = setup.listen.as_deref().unwrap_or("127.0.0.1:0");
        command.args(["serve", "--listen", listen, "--store", store]);
        command.arg("--data").arg(data).arg("--ready-file").arg(ready);
        let anywhere = ["127.0.0.1:0".to_owned()];
        for address in if setup.recorder.is_empty() { &anywhere[..] } else { &setup.recorder[..] } {
            command.args(["--recorder-listen", address]);
        }
        // A socket that does not exist: tests must not use a tailscaled of the machine on which they run.
        let nobody = folder.join("no-tailscaled.sock");
        command.arg("--tailscale-socket").arg(setup.socket.as_ref().unwrap_or(&nobody));
        if let Some(text) = &setup.config {
            let file = folder.join(format!("{name}.toml"));
            std::fs::write(&file, text)?;
            command.arg("--config").arg(file);
        }
        command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    async fn ready(process: &mut Process, file: &Path) -> Result<Value> {
        let start = std::time::Instant::now();
        loop {
            if let Some(addresses) =
                std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                return Ok(addresses);
            }
            if !process.is_alive() {
                bail!("the server ended before it was ready; {}", process.tail());
            }
            ensure!(start.elapsed() < WAIT_LIMIT, "waited {WAIT_LIMIT:?} for the server; {}", process.tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it in order and starts it again on the same store and state.
    pub async fn restart(mut self) -> Result<Self> {
        self.stop().await?;
        Self::start(&self.folder, &self.setup).await
    }

    /// Kills it and starts it again on the same store and state. Configured recorder addresses stay the same.
    pub async fn kill_and_restart(mut self) -> Result<Self> {
        self.process.kill().await?;
        Self::start(&self.folder, &self.setup).await
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(WAIT_LIMIT).await?;
        ensure!(status.success(), "the server ended with {status}; {}", self.process.tail());
        Ok(())
    }

    /// The folder or address of the store.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The local state.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Sends a GET request to the API.
    pub async fn get(&self, path: &str) -> Result<bytes::Bytes> {
        let answer = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        ensure!(status.is_success(), "GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Sends a GET request for JSON to the API.
    pub async fn json(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.get(path).await?)?)
    }

    /// Sends a POST request with JSON to the API.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(token).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "POST {path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// All sessions of the list.
    pub async fn sessions(&self) -> Result<Vec<Value>> {
        let page = self.json("/api/v1/sessions?limit=500").await?;
        Ok(page["sessions"].as_array().context("`sessions` is a list")?.clone())
    }

    /// Waits for a session that matches.
    pub async fn session(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = until(what, WAIT_LIMIT, async || {
            self.sessions().await.ok()?.into_iter().find(|session| fits(session))
        });
        match found.await {
            Ok(session) => Ok(session),
            Err(error) => {
                bail!("{error}; sessions are {:#?}; {}", self.sessions().await, self.process.tail())
            }
        }
    }

    /// Runs the command line against this server.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = prefixed_command(&self.setup.command_prefix, &meshtrail()?);
        command.args(arguments).env("MESHTRAIL_SERVER", &self.url).env("MESHTRAIL_TOKEN", &self.token);
        run(&format!("meshtrail {}", arguments.join(" ")), command, WAIT_LIMIT).await
    }

    /// Runs the command line and returns its output; anything but success is an error.
    pub async fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "meshtrail {} ended with {}: {text}{complaint}",
            arguments.join(" "),
            output.status
        );
        Ok(text)
    }

    /// Runs `verify --all` while the server runs.
    pub async fn verify(&self) -> Result<VerifyOutcome> {
        self.verify_store(&[]).await
    }

    /// Runs `verify --all --store`, which reads the store without this server.
    pub async fn verify_store(&self, arguments: &[&str]) -> Result<VerifyOutcome> {
        let mut command = child_command(meshtrail()?);
        command
            .args(["verify", "--all", "--store", &self.store])
            .arg("--data")
            .arg(&self.data)
            .args(arguments);
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        Ok(VerifyOutcome::from_output(&run("meshtrail verify", command, WAIT_LIMIT).await?))
    }

    /// A new token for a sender of this name.
    pub async fn sender_token(&self, name: &str) -> Result<String> {
        let body = serde_json::json!({ "name": name, "role": "sender" });
        let token = self.post("/api/v1/tokens", &self.token, &body).await?;
        Ok(token["secret"].as_str().context("a new token has a secret")?.to_owned())
    }
}

impl VerifyOutcome {
    /// The outcome of a run of `verify`.
    pub fn from_output(output: &Output) -> Self {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Self { holds: output.status.code() == Some(0), text }
    }
}
