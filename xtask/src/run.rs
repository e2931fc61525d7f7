//! Running external commands: folder, environment and output.
//!
//! All build output is outside the checkout: Rust in `CARGO_TARGET_DIR`, peers and tools in
//! `MESHTRAIL_PEERS`; both default to folders below `~/.cache/meshtrail`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The checkout, its folders, and the environment of commands.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// The target folder of Rust builds.
    pub(crate) target: PathBuf,
    /// The folder of peers and tools.
    pub(crate) cache: PathBuf,
    /// Whether skipped tests count as failed.
    pub(crate) ci: bool,
    environment: BTreeMap<OsString, OsString>,
}

impl Run {
    /// Finds the checkout that this program was built from.
    pub(crate) fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the checkout")?;
        let home = std::env::var_os("HOME").context("HOME is not set")?;
        let ours = Path::new(&home).join(".cache/meshtrail");
        let place = |name: &str, default: &str| {
            std::env::var_os(name).map_or_else(|| ours.join(default), PathBuf::from)
        };
        let mut run = Self {
            root: root.to_owned(),
            target: place("CARGO_TARGET_DIR", "target"),
            cache: place("MESHTRAIL_PEERS", "peers"),
            ci: std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1"),
            environment: BTreeMap::new(),
        };
        run.set("CARGO_TARGET_DIR", run.target.clone());
        run.set("MESHTRAIL_PEERS", run.cache.clone());
        run.set("MESHTRAIL_BIN", run.target.join("debug/meshtrail"));
        run.set("CARGO_TERM_COLOR", "never");
        Ok(run)
    }

    /// Sets an environment variable for all later commands.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.insert(name.into(), value.as_ref().to_owned());
    }

    /// Puts a folder in front of `PATH`.
    pub(crate) fn put_on_path(&mut self, folder: &Path) -> Result<()> {
        let now = self.environment.get(OsStr::new("PATH")).cloned().or_else(|| std::env::var_os("PATH"));
        let mut folders = vec![folder.to_owned()];
        folders.extend(std::env::split_paths(&now.unwrap_or_default()));
        self.set("PATH", std::env::join_paths(folders)?);
        Ok(())
    }

    /// A command in the checkout, in this environment.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        // `Command` would search the PATH of this process, not the one of `environment`.
        let found = self.find(program).unwrap_or_else(|| program.into());
        let mut command = Command::new(found);
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        // The variables that `cargo run` set for this program's own package must not reach another cargo: ring's build
        // script watches these names, and everything above it would be built again.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command.envs(&self.environment);
        command
    }

    /// The path of a program on the `PATH` of commands.
    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        if program.contains('/') {
            return Path::new(program).is_file().then(|| program.into());
        }
        let path = self.environment.get(OsStr::new("PATH")).cloned().or_else(|| std::env::var_os("PATH"))?;
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
    }

    /// Runs a command to its end and shows its output; anything but success is an error.
    pub(crate) fn execute(&self, mut command: Command) -> Result<()> {
        print_line(&command_line(&command));
        let status = command.status().with_context(|| format!("cannot start {}", command_line(&command)))?;
        if !status.success() {
            bail!("{} ended with {status}", command_line(&command));
        }
        Ok(())
    }

    /// The output of a command, or none if it failed.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = self.command(program, arguments).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs a command, shows its output, and calls `each` with every line; returns whether it succeeded.
    pub(crate) fn follow(&self, mut command: Command, mut each: impl FnMut(&str)) -> Result<bool> {
        print_line(&command_line(&command));
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command_line(&command)))?;
        let output = child.stdout.take().context("standard output is piped")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            print_line(&line);
            each(&line);
        }
        Ok(child.wait()?.success())
    }
}

/// Prints a line for the person at the terminal.
pub(crate) fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // The reader can be gone; the work goes on.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("\n$ {}", line.join(" "))
}
