//! `meshtrail setup …`

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use meshtrail_collect::setup::{FlowLogs, SetupFile};
use meshtrail_event::Timestamp;

use crate::args::SetupFlowLogs;
use crate::output::{line, note};

/// Writes what a self-hosted tailnet needs to send its flow logs here, into a folder and nowhere else.
pub(crate) fn flow_logs(asked: &SetupFlowLogs) -> Result<()> {
    let setup = FlowLogs {
        listen: (asked.address, 443).into(),
        folder: asked.server_folder.clone(),
        now: Timestamp::now().as_seconds(),
    };
    let files = setup.plan()?;
    let mut told = String::new();
    for file in &files {
        told.push_str(&format!("{:<22} {}\n", file.path, file.purpose));
    }
    if asked.dry_run {
        line(&format!("Would write to {}:\n\n{told}", asked.output.display()))?;
        for file in files.iter().filter(|file| !file.path.ends_with(".key") && !file.path.ends_with(".pem")) {
            line(&format!("\n--- {}\n{}", file.path, file.content))?;
        }
        return Ok(());
    }
    ensure!(
        !asked.output.exists(),
        "{} is there already: name another folder with --output, or remove it first",
        asked.output.display()
    );
    for file in &files {
        write(&asked.output, file)?;
    }
    line(told.trim_end())?;
    note(&format!(
        "wrote {}; nothing else was changed. README.txt there says what is left to do",
        asked.output.display()
    ));
    Ok(())
}

fn write(folder: &Path, file: &SetupFile) -> Result<()> {
    let path = folder.join(file.path);
    let shown = || format!("failed to write {}", path.display());
    let parent = path.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(parent).with_context(shown)?;
    let mut options = OpenOptions::new();
    let mut out: File =
        options.write(true).create_new(true).mode(file.mode).open(&path).with_context(shown)?;
    out.write_all(file.content.as_bytes()).with_context(shown)?;
    out.set_permissions(std::fs::Permissions::from_mode(file.mode)).with_context(shown)
}
