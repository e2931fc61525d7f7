//! `meshtrail serve`, and what a user asks of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{Process, mortal, run};
use crate::tailnet::entered;
use crate::{PATIENCE, http_client, until};

/// How a server is started.
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
    /// Commands that lead into a namespace.
    pub entering: Vec<String>,
}

/// The binary under test.
pub fn meshtrail() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("MESHTRAIL_BIN") {
        return Ok(binary.into());
    }
    // This test lies in target/debug/deps.
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

/// What `verify` says.
#[derive(Debug)]
pub struct Verdict {
    /// Whether all of it holds (exit status 0).
    pub holds: bool,
    /// Everything it said.
    pub text: String,
}

impl Server {
    /// Starts a server and waits until it says that it is ready.
    pub async fn start(folder: &Path, setup: &Setup) -> Result<Self> {
        Self::start_named("server", folder, setup).await
    }

    /// The same with a name of its own for logs and state, for several servers in one test.
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

    /// The command line of a server, for those that are expected not to become ready.
    pub fn command(
        name: &str,
        folder: &Path,
        setup: &Setup,
        store: &str,
        data: &Path,
        ready: &Path,
    ) -> Result<Command> {
        let mut command = entered(&setup.entering, &meshtrail()?);
        let listen = setup.listen.as_deref().unwrap_or("127.0.0.1:0");
        command.args(["serve", "--listen", listen, "--store", store]);
        command.arg("--data").arg(data).arg("--ready-file").arg(ready);
        let anywhere = ["127.0.0.1:0".to_owned()];
        for address in if setup.recorder.is_empty() { &anywhere[..] } else { &setup.recorder[..] } {
            command.args(["--recorder-listen", address]);
        }
        // A socket that is not there: tests must not ask a tailscaled of the machine they run on.
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
        let started = std::time::Instant::now();
        loop {
            if let Some(addresses) =
                std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                return Ok(addresses);
            }
            if !process.is_alive() {
                bail!("the server ended before it was ready; {}", process.tail());
            }
            ensure!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for the server; {}", process.tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it in order and starts it again, on what it left.
    pub async fn restart(mut self) -> Result<Self> {
        self.stop().await?;
        Self::start(&self.folder, &self.setup).await
    }

    /// Kills it and starts it again, on what it left. Recorders keep their ports, so that clients find them.
    pub async fn kill_and_restart(mut self) -> Result<Self> {
        self.process.kill().await?;
        Self::start(&self.folder, &self.setup).await
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(PATIENCE).await?;
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

    /// Asks the API.
    pub async fn get(&self, path: &str) -> Result<bytes::Bytes> {
        let answer = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        ensure!(status.is_success(), "GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Asks the API for JSON.
    pub async fn json(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.get(path).await?)?)
    }

    /// Hands something in.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(token).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "POST {path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// All sessions, as the list tells them.
    pub async fn sessions(&self) -> Result<Vec<Value>> {
        let page = self.json("/api/v1/sessions?limit=500").await?;
        Ok(page["sessions"].as_array().context("`sessions` is a list")?.clone())
    }

    /// Waits for a session that fits.
    pub async fn session(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = until(what, PATIENCE, async || {
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
        let mut command = entered(&self.setup.entering, &meshtrail()?);
        command.args(arguments).env("MESHTRAIL_SERVER", &self.url).env("MESHTRAIL_TOKEN", &self.token);
        run(&format!("meshtrail {}", arguments.join(" ")), command, PATIENCE).await
    }

    /// The same; anything but success is an error. What it printed.
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

    /// `verify --all`, beside the running server.
    pub async fn verify(&self) -> Result<Verdict> {
        self.verify_store(&[]).await
    }

    /// `verify --all --store`: the store is read without this server.
    pub async fn verify_store(&self, arguments: &[&str]) -> Result<Verdict> {
        let mut command = mortal(meshtrail()?);
        command
            .args(["verify", "--all", "--store", &self.store])
            .arg("--data")
            .arg(&self.data)
            .args(arguments);
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        Ok(Verdict::of(&run("meshtrail verify", command, PATIENCE).await?))
    }

    /// A token for a sender of that name.
    pub async fn sender_token(&self, name: &str) -> Result<String> {
        let body = serde_json::json!({ "name": name, "role": "sender" });
        let made = self.post("/api/v1/tokens", &self.token, &body).await?;
        Ok(made["secret"].as_str().context("a new token has a secret")?.to_owned())
    }
}

impl Verdict {
    /// What a run of `verify` said.
    pub fn of(output: &Output) -> Self {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Self { holds: output.status.code() == Some(0), text }
    }
}
