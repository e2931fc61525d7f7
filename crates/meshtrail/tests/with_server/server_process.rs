//! Runs the command line in a folder, and a server there as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A command in `folder`, without environment variables that name a server.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtrail"));
    command.current_dir(folder).env_remove("MESHTRAIL_SERVER").env_remove("MESHTRAIL_TOKEN");
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

/// Runs a command that must succeed, and returns its standard output.
pub(crate) fn run_ok(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}{out}");
    out
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Polls `poll` until it returns a value.
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server process; killed on drop, so that nothing is closed in order.
pub(crate) struct ServerProcess {
    process: Child,
    /// The content of the ready file.
    pub(crate) ready: Value,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts a server in `folder` and waits until it is ready.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> ServerProcess {
        let (ready_file, log) = (folder.join("ready.json"), folder.join("serving.log"));
        let mut process = command(folder)
            .args(arguments)
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(std::fs::File::create(folder.join("serving.out")).unwrap())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let ready = wait_for("it is ready", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", std::fs::read_to_string(&log).unwrap());
            std::fs::read(&ready_file).ok()
        });
        std::fs::remove_file(ready_file).unwrap();
        ServerProcess { process, ready: serde_json::from_slice(&ready).unwrap(), log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, checks that the process exits successfully, and returns its log.
    pub(crate) fn stop(mut self, signal: &str) -> String {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let ended = self.process.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(ended.success(), "{ended}: {log}");
        log
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Errors mean that the process has ended already.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
