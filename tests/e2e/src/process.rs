//! Child processes that never outlive their test.
//!
//! - Each has its own process group; dropping a [`Process`] kills the group.
//! - If the test itself is killed, the kernel kills the child (`setpriv --pdeathsig`). That signal is sent when
//!   the *thread* that started a child ends, so one thread that never ends starts all children.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{WAIT_LIMIT, until};

/// A running child process with its output in files.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// A command for `program` as a child process that the kernel kills when its parent ends.
pub fn child_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).process_group(0);
    command
}

/// The path of a peer's binary.
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

/// The Python with the client packages that tests use.
pub fn python() -> Result<PathBuf> {
    let set = std::env::var_os("MESHTRAIL_PYTHON").map(PathBuf::from);
    let Some(python) = set.filter(|path| path.is_file()) else {
        bail!("MESHTRAIL_PYTHON names no Python: run the tests with `cargo xtask e2e`");
    };
    Ok(python)
}

/// Runs a command to its end, for at most `limit`.
pub async fn run(what: &str, command: Command, limit: Duration) -> Result<Output> {
    let child = PipedChild::spawn(command, Stdio::piped(), Stdio::piped(), Stdio::null())?;
    child.output(what, limit).await
}

/// A child process whose output is in pipes.
pub(crate) struct PipedChild {
    pub(crate) child: Option<Child>,
    pid: Pid,
}

impl PipedChild {
    pub(crate) fn spawn(mut command: Command, out: Stdio, err: Stdio, input: Stdio) -> Result<Self> {
        command.stdout(out).stderr(err).stdin(input);
        let child = spawn(command)?;
        Ok(Self { pid: Pid::from_child(&child), child: Some(child) })
    }

    /// Waits for its end and returns its output.
    pub(crate) async fn output(mut self, what: &str, limit: Duration) -> Result<Output> {
        let child = self.child.take().expect("output consumes the child");
        let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
        match tokio::time::timeout(limit, waiting).await {
            Ok(output) => Ok(output??),
            Err(_) => bail!("waited {limit:?} for {what} to end"),
        }
    }
}

impl Drop for PipedChild {
    fn drop(&mut self) {
        // It may have ended already.
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

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Its log (standard error) so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// The end of its log, for an error message.
    pub fn tail(&self) -> String {
        let log = self.log();
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
        until(&what, limit, async || Some(self.stdout().split_once('\n')?.0.to_owned()))
            .await
            .with_context(|| self.tail())
    }

    /// Terminates it (SIGTERM) and waits.
    pub async fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        kill_process(self.pid(), Signal::TERM).ok();
        self.wait(limit).await
    }

    /// Kills it (SIGKILL) and waits.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        kill_process_group(self.pid(), Signal::KILL).ok();
        self.wait(WAIT_LIMIT).await
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
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

type SpawnRequest = (Command, mpsc::Sender<std::io::Result<Child>>);

fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<SpawnRequest>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, received) = mpsc::channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                // If the caller is gone, the child is dropped with the failed send.
                drop(answer.send(command.spawn()));
            }
        });
        requests
    });
    let program = format!("{command:?}");
    let (answer, reply) = mpsc::channel();
    spawner.send((command, answer)).context("the spawner runs as long as the process")?;
    reply.recv()?.with_context(|| format!("cannot start {program}"))
}
