//! OpenSSH's client, with connections through a node.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{PipedChild, child_command, peer, run};
use crate::tailnet::Node;
use crate::{WAIT_LIMIT, until};

/// Sessions from one node to another, as root.
#[derive(Debug, Clone)]
pub struct Ssh {
    options: Vec<String>,
    host: String,
}

impl Ssh {
    /// From `client` to `server`.
    pub async fn between(client: &Node, server: &Node) -> Result<Self> {
        let through =
            format!("{} --socket={} nc %h %p", peer("tailscale")?.display(), client.socket.display());
        let mut proxy: Vec<String> = client.command_prefix().to_vec();
        proxy.push(through);
        let options = [
            format!("ProxyCommand={}", proxy.join(" ")),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=no".to_owned(),
            "LogLevel=ERROR".to_owned(),
            "BatchMode=yes".to_owned(),
            "ConnectTimeout=20".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        Ok(Self { options, host: server.address().await?.to_string() })
    }

    /// Runs a command on the server.
    pub async fn command(&self, command: &str) -> Result<Output> {
        let mut ssh = self.client("ssh");
        ssh.arg(self.user_at_host()).arg(command);
        run(&format!("ssh {command}"), ssh, WAIT_LIMIT).await
    }

    /// `ssh`, `scp` or `sftp` with the options that this tailnet needs.
    pub fn client(&self, program: &str) -> Command {
        let mut command = child_command(program);
        command.args(["-F", "none"]).args(&self.options);
        command
    }

    /// `root@address`
    pub fn user_at_host(&self) -> String {
        format!("root@{}", self.host)
    }

    /// Opens a shell on a terminal of 100 columns and 30 rows; `script` provides the terminal for OpenSSH.
    pub fn shell(&self, flags: &[&str]) -> Result<Shell> {
        let quoted = self.options.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let line = format!(
            "stty rows 30 cols 100; exec ssh -F none {quoted} {} -tt {}",
            flags.join(" "),
            self.user_at_host()
        );
        let mut command = child_command("script");
        command
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("TERM", "xterm-256color");
        Shell::start(command)
    }

    /// Copies with scp; `old` uses the protocol that runs `scp` on the server instead of SFTP.
    pub async fn scp(&self, from: &Path, to: &str, old: bool) -> Result<Output> {
        let mut scp = self.client("scp");
        if old {
            scp.arg("-O");
        }
        scp.arg(from).arg(format!("{}:{to}", self.user_at_host()));
        run("scp", scp, WAIT_LIMIT).await
    }
}

/// An interactive session: its input and its screen.
pub struct Shell {
    process: Option<PipedChild>,
    input: Option<ChildStdin>,
    seen: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Shell {
    fn start(command: Command) -> Result<Self> {
        let mut process = PipedChild::spawn(command, Stdio::piped(), Stdio::null(), Stdio::piped())?;
        let child = process.child.as_mut().context("it was just started")?;
        let input = child.stdin.take();
        let mut output = child.stdout.take().context("standard output is piped")?;
        let seen = Arc::new(Mutex::new(String::new()));
        let screen = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]);
                screen.lock().expect("no reader of the screen panics").push_str(&text);
            }
        });
        Ok(Self { process: Some(process), input, seen, reader: Some(reader) })
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the session still takes input")?;
        input.write_all(line.as_bytes())?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    /// Waits until the shell accepts commands and has printed its greeting.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        // With the quotes the echo of the input differs from the output.
        self.type_line("PS1=; echo rea''dy")?;
        self.wait_for("ready").await
    }

    /// All output so far.
    pub fn screen(&self) -> String {
        self.seen.lock().expect("no writer of the screen panics").clone()
    }

    /// Waits until the output contains a text.
    pub async fn wait_for(&self, text: &str) -> Result<()> {
        let what = format!("{text:?} on the screen");
        until(&what, WAIT_LIMIT, async || self.screen().contains(text).then_some(()))
            .await
            .with_context(|| format!("the screen shows:\n{}", self.screen()))
    }

    /// Resizes the terminal.
    pub async fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let child = self.process.as_ref().and_then(|process| process.child.as_ref());
        let script = child.context("the session still runs")?.id();
        let terminal = terminal_below(script).context("ssh has a terminal")?;
        let mut stty = child_command("stty");
        stty.args(["-F", &terminal, "rows", &rows.to_string(), "cols", &columns.to_string()]);
        run("stty", stty, WAIT_LIMIT).await?;
        Ok(())
    }

    /// Waits for the session's end; returns its output and its exit status.
    pub async fn end(mut self) -> Result<(String, Option<i32>)> {
        // The input stays open until then: closing it would send an end of transmission.
        let process = self.process.as_mut().context("a session ends once")?;
        let child = process.child.as_mut().context("a session ends once")?;
        let start = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            anyhow::ensure!(
                start.elapsed() < WAIT_LIMIT,
                "waited {WAIT_LIMIT:?} for the session to end; {}",
                self.screen()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // The reader can be a few bytes behind; other users of the terminal end with the process group.
        self.process = None;
        if let Some(reader) = self.reader.take() {
            let read = tokio::task::spawn_blocking(move || reader.join());
            let read = tokio::time::timeout(WAIT_LIMIT, read).await;
            anyhow::ensure!(
                matches!(read, Ok(Ok(Ok(())))),
                "the screen is never read to its end; {}",
                self.screen()
            );
        }
        Ok((self.screen(), status.code()))
    }
}

/// The terminal of the first descendant that is not the process itself.
fn terminal_below(parent: u32) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let child = children.split_whitespace().next()?;
    let terminal = std::fs::read_link(format!("/proc/{child}/fd/0")).ok()?;
    Some(terminal.to_string_lossy().into_owned())
}
