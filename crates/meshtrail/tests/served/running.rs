//! The command line in a folder, and a server there as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The command line in `folder`; nothing of the surroundings tells it whom to ask.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtrail"));
    command.current_dir(folder).env_remove("MESHTRAIL_SERVER").env_remove("MESHTRAIL_TOKEN");
    command
}

/// Runs a command to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}{out}");
    out
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `look` finds, once it finds something.
pub(crate) fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command that serves; killed when dropped, so that nothing is closed in order.
pub(crate) struct Serving {
    process: Child,
    /// What it says of itself once everything listens.
    pub(crate) ready: Value,
    log: PathBuf,
}

impl Serving {
    /// Starts it in `folder` and waits until it is ready.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Serving {
        let (ready_file, log) = (folder.join("ready.json"), folder.join("serving.log"));
        let mut process = command(folder)
            .args(arguments)
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(std::fs::File::create(folder.join("serving.out")).unwrap())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let ready = soon("it is ready", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", std::fs::read_to_string(&log).unwrap());
            std::fs::read(&ready_file).ok()
        });
        std::fs::remove_file(ready_file).unwrap();
        Serving { process, ready: serde_json::from_slice(&ready).unwrap(), log }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, which it must end by in order; what it logged.
    pub(crate) fn stop(mut self, signal: &str) -> String {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let ended = self.process.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(ended.success(), "{ended}: {log}");
        log
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is as good.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
