//! A tailnet on loopback: Tailscale's own test control server and real nodes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process::{Process, child_command, peer, run};
use crate::{WAIT_LIMIT, prepare_tls, until};

/// What a node does if its session cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// The session goes on without a recording.
    Open,
    /// No session without a recording.
    Closed,
}

/// The message of an enforcing policy to a user whose session is refused.
pub const REFUSED_MESSAGE: &str = "no recorder, no session";
/// The message of an enforcing policy to a user whose session is ended.
pub const ENDED_MESSAGE: &str = "the recording stopped, and so does this session";

/// The control plane.
#[derive(Debug)]
pub struct Tailnet {
    /// The URL of the control server.
    pub control: String,
    folder: PathBuf,
    http: reqwest::Client,
    _process: Process,
}

impl Tailnet {
    /// Starts a control server, a relay and STUN, all on loopback.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_on(folder, "127.0.0.1", child_command(peer("tailnet")?)).await
    }

    /// Starts them on another address, with a command line that can enter a namespace first.
    pub async fn start_on(folder: &Path, address: &str, mut command: Command) -> Result<Self> {
        let admin = folder.join("admin.sock");
        command.args(["-address", address]).arg("-admin").arg(&admin);
        let mut process = Process::start("tailnet", folder, command)?;
        let line = process.first_line(WAIT_LIMIT).await?;
        prepare_tls();
        let addresses: Value = serde_json::from_str(&line)?;
        Ok(Self {
            control: addresses["control"].as_str().context("the address of the control server")?.to_owned(),
            folder: folder.to_owned(),
            http: reqwest::Client::builder().unix_socket(admin).build()?,
            _process: process,
        })
    }

    /// Adds a userspace node; `ssh` makes it an SSH server.
    pub async fn join(&self, name: &str, ssh: bool) -> Result<Node> {
        let flags: &[&str] = if ssh { &["--ssh"] } else { &[] };
        let node = Node::start(&self.folder, name, &["--tun=userspace-networking"], &[], None)?;
        node.up(&self.control, "unused", flags).await?;
        Ok(node)
    }

    /// Sends every session on every node to `recorders`, and waits until `node` has the policy.
    pub async fn record(&self, node: &Node, recorders: &[String], enforcement: Enforcement) -> Result<()> {
        let policy = ssh_policy(recorders, enforcement);
        let answer = self.http.put("http://admin/ssh-policy").json(&policy).send().await?;
        ensure!(answer.status().is_success(), "the policy was refused: {}", answer.text().await?);
        let wanted = policy["rules"][0]["action"].clone();
        until(&format!("{} to have its SSH policy", node.name), WAIT_LIMIT, async || {
            let map: Value =
                serde_json::from_slice(&node.tailscale(&["debug", "netmap"]).await.ok()?.stdout).ok()?;
            (map["SSHPolicy"]["rules"][0]["action"] == wanted).then_some(())
        })
        .await
    }

    /// Enables flow logs on a node, under the private log id of 64 hex digits.
    pub async fn flow_logs(&self, node: &Node, id: &str) -> Result<()> {
        let stable = node.status().await?["Self"]["ID"].as_str().context("a node has an id")?.to_owned();
        let request = self.http.post(format!("http://admin/flow-logs?node={stable}&id={id}"));
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "flow logs were refused: {}", answer.text().await?);
        Ok(())
    }

    /// Gives the user of a node another login name.
    pub async fn rename(&self, node: &Node, login: &str, name: &str) -> Result<()> {
        let id = node.status().await?["Self"]["ID"].as_str().context("a node has an id")?.to_owned();
        let request = self.http.post(format!("http://admin/rename?node={id}&login={login}&name={name}"));
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "renaming was refused: {}", answer.text().await?);
        Ok(())
    }
}

/// The policy: everyone may log in as any user, and is recorded.
pub fn ssh_policy(recorders: &[String], enforcement: Enforcement) -> Value {
    let mut action = json!({"accept": true, "allowAgentForwarding": true, "allowLocalPortForwarding": true});
    if !recorders.is_empty() {
        action["recorders"] = json!(recorders);
    }
    if enforcement == Enforcement::Closed {
        action["onRecordingFailure"] = json!({ "RejectSessionWithMessage": REFUSED_MESSAGE, "TerminateSessionWithMessage": ENDED_MESSAGE });
    }
    json!({"rules": [{"principals": [{"any": true}], "sshUsers": {"*": "=", "root": "root"}, "action": action}]})
}

/// A machine in a tailnet: a real tailscaled.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The socket of its LocalAPI.
    pub socket: PathBuf,
    command_prefix: Vec<String>,
    process: Process,
}

impl Node {
    /// Starts tailscaled, in a network namespace if one is given.
    pub fn start(
        folder: &Path,
        name: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
        namespace: Option<&str>,
    ) -> Result<Self> {
        let state = folder.join(name);
        std::fs::create_dir_all(&state)?;
        let socket = state.join("ts.sock");
        let command_prefix: Vec<String> = namespace
            .map(|name| ["ip", "netns", "exec", name].map(str::to_owned).to_vec())
            .unwrap_or_default();
        let mut command = prefixed_command(&command_prefix, &peer("tailscaled")?);
        command.arg(format!("--statedir={}", state.display()));
        command.arg(format!("--socket={}", socket.display())).arg("--port=0").args(flags);
        command.envs([
            ("TS_NO_LOGS_NO_SUPPORT", "true"),
            ("TS_ASSUME_NETWORK_UP_FOR_TEST", "1"),
            ("TS_PANIC_IF_HIT_MAIN_CONTROL", "1"),
            ("TS_DISABLE_PORTMAPPER", "1"),
            ("TS_DEBUG_LOG_RATE", "all"),
            ("TS_DEBUG_FIREWALL_MODE", "nftables"),
        ]);
        command.env("TS_LOGS_DIR", &state).envs(environment.iter().copied());
        let process = Process::start(name, folder, command)?;
        Ok(Self { name: name.to_owned(), socket, command_prefix, process })
    }

    /// Logs in, and waits until the node runs.
    pub async fn up(&self, control: &str, key: &str, flags: &[&str]) -> Result<()> {
        until(&format!("{} to open its socket", self.name), WAIT_LIMIT, async || {
            self.socket.exists().then_some(())
        })
        .await
        .with_context(|| self.process.tail())?;
        let (server, key) = (format!("--login-server={control}"), format!("--auth-key={key}"));
        let name = format!("--hostname={}", self.name);
        let mut line =
            vec!["up", &server, &key, &name, "--accept-dns=false", "--accept-risk=all", "--timeout=150s"];
        line.extend(flags);
        let output = self.tailscale(&line).await?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{} did not come up: {complaint}; {}",
            self.name,
            self.process.tail()
        );
        Ok(())
    }

    /// Runs `tailscale` against this node.
    pub async fn tailscale(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = prefixed_command(&self.command_prefix, &peer("tailscale")?);
        command.arg(format!("--socket={}", self.socket.display())).args(arguments);
        run(&format!("tailscale {}", arguments.join(" ")), command, WAIT_LIMIT).await
    }

    /// `tailscale status --json`
    pub async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.tailscale(&["status", "--json"]).await?.stdout)?)
    }

    /// Its IPv4 address in the tailnet.
    pub async fn address(&self) -> Result<IpAddr> {
        let status = self.status().await?;
        Ok(status["TailscaleIPs"][0].as_str().context("a node that runs has an address")?.parse()?)
    }

    /// The log of tailscaled so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The prefix of commands on this node: empty, or one that enters its namespace.
    pub fn command_prefix(&self) -> &[String] {
        &self.command_prefix
    }
}

/// A command for `program` as a child process, after `command_prefix` if it is not empty.
pub(crate) fn prefixed_command(command_prefix: &[String], program: &Path) -> Command {
    match command_prefix.split_first() {
        None => child_command(program),
        Some((first, rest)) => {
            let mut command = child_command(first);
            command.args(rest).arg(program);
            command
        }
    }
}
