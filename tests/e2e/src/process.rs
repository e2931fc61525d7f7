//! Children that never outlive their test.
//!
//! - Each is a process group of its own; dropping a [`Process`] kills the group.
//! - Should the test itself be killed, the kernel kills the child (`setpriv --pdeathsig`). That signal comes when
//!   the *thread* that started a child ends, so one thread that never ends starts them all.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{PATIENCE, until};

/// A running child with its output in files.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// The command line of `program` as a child that dies with its parent.
pub fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).process_group(0);
    command
}

/// Where a peer's binary lies.
pub fn peer(name: &str) -> Result<PathBuf> {
    let cache = match std::env::var_os("MESHTRAIL_PEERS") {
        Some(cache) => PathBuf::from(cache),
        None => {
            Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache/meshtrail/peers")
        }
    };
    let binary = cache.join("bin").join(name);
    if !binary.is_file() {
        bail!(
            "{} is not there: run `cargo xtask peers`, or the tests with `cargo xtask e2e`",
            binary.display()
        );
    }
    Ok(binary)
}

/// The Python that has the clients which tests use.
pub fn python() -> Result<PathBuf> {
    let set = std::env::var_os("MESHTRAIL_PYTHON").map(PathBuf::from);
    let Some(python) = set.filter(|path| path.is_file()) else {
        bail!("MESHTRAIL_PYTHON names no Python: run the tests with `cargo xtask e2e`");
    };
    Ok(python)
}

/// Runs a command to its end, at most `limit` long.
pub async fn run(what: &str, command: Command, limit: Duration) -> Result<Output> {
    let started = Started::now(command, Stdio::piped(), Stdio::piped(), Stdio::null())?;
    started.output(what, limit).await
}

/// A child whose output is in pipes.
pub(crate) struct Started {
    pub(crate) child: Option<Child>,
    pid: Pid,
}

impl Started {
    pub(crate) fn now(mut command: Command, out: Stdio, err: Stdio, input: Stdio) -> Result<Self> {
        command.stdout(out).stderr(err).stdin(input);
        let child = spawn(command)?;
        Ok(Self { pid: Pid::from_child(&child), child: Some(child) })
    }

    /// Waits for its end and takes what it printed.
    pub(crate) async fn output(mut self, what: &str, limit: Duration) -> Result<Output> {
        let child = self.child.take().expect("output consumes the child");
        let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
        match tokio::time::timeout(limit, waiting).await {
            Ok(output) => Ok(output??),
            Err(_) => bail!("waited {limit:?} for {what} to end"),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Gone already: that is what was wanted.
        kill_process_group(self.pid, Signal::KILL).ok();
        if let Some(child) = &mut self.child {
            drop(child.wait());
        }
    }
}

impl Process {
    /// Starts a command; its output goes to `folder/name.out` and `.err`.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> Result<Self> {
        let (out, err) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        command.stdin(Stdio::null()).stdout(append_to(&out)?).stderr(append_to(&err)?);
        let child = spawn(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, out, err })
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it logged so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// The end of its log, for an error message.
    pub fn tail(&self) -> String {
        let log = self.logged();
        let lines: Vec<_> = log.lines().collect();
        let from = lines.len().saturating_sub(25);
        format!("the end of {}'s log:\n{}", self.name, lines[from..].join("\n"))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its first line of output.
    pub async fn first_line(&mut self, limit: Duration) -> Result<String> {
        let what = format!("the first line of {}", self.name);
        until(&what, limit, async || Some(self.printed().split_once('\n')?.0.to_owned()))
            .await
            .with_context(|| self.tail())
    }

    /// Asks it to end (SIGTERM) and waits.
    pub async fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        kill_process(self.pid(), Signal::TERM).ok();
        self.ended(limit).await
    }

    /// Ends it without asking (SIGKILL) and waits.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        kill_process_group(self.pid(), Signal::KILL).ok();
        self.ended(PATIENCE).await
    }

    /// Waits for its end.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!("waited {limit:?} for {} to end; {}", self.name, self.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_process_group(self.pid(), Signal::KILL).ok();
        drop(self.child.wait());
    }
}

fn append_to(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                // Whoever asked may have given up; its child then dies with this send.
                drop(answer.send(command.spawn()));
            }
        });
        orders
    });
    let program = format!("{command:?}");
    let (answer, answered) = mpsc::channel();
    spawner.send((command, answer)).context("the spawner runs as long as the process")?;
    answered.recv()?.with_context(|| format!("cannot start {program}"))
}
