//! `meshtrail setup …`

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use meshtrail_collect::setup::{FlowLogs, SetupFile};
use meshtrail_event::Timestamp;

use crate::args::SetupFlowLogs;
use crate::output::{print_line, print_note};

/// Writes the files with which a self-hosted tailnet sends its flow logs here, into one folder.
pub(crate) fn flow_logs(args: &SetupFlowLogs) -> Result<()> {
    let setup = FlowLogs {
        listen: (args.address, 443).into(),
        folder: args.server_folder.clone(),
        now: Timestamp::now().as_seconds(),
    };
    let files = setup.plan()?;
    let mut summary = String::new();
    for file in &files {
        summary.push_str(&format!("{:<22} {}\n", file.path, file.purpose));
    }
    if args.dry_run {
        print_line(&format!("Would write to {}:\n\n{summary}", args.output.display()))?;
        for file in files.iter().filter(|file| !file.path.ends_with(".key") && !file.path.ends_with(".pem")) {
            print_line(&format!("\n--- {}\n{}", file.path, file.content))?;
        }
        return Ok(());
    }
    ensure!(
        !args.output.exists(),
        "{} is there already: name another folder with --output, or remove it first",
        args.output.display()
    );
    for file in &files {
        write(&args.output, file)?;
    }
    print_line(summary.trim_end())?;
    print_note(&format!(
        "wrote {}; nothing else was changed. README.txt there says what is left to do",
        args.output.display()
    ));
    Ok(())
}

fn write(folder: &Path, file: &SetupFile) -> Result<()> {
    let path = folder.join(file.path);
    let message = || format!("failed to write {}", path.display());
    let parent = path.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(parent).with_context(message)?;
    let mut options = OpenOptions::new();
    let mut out: File =
        options.write(true).create_new(true).mode(file.mode).open(&path).with_context(message)?;
    out.write_all(file.content.as_bytes()).with_context(message)?;
    out.set_permissions(std::fs::Permissions::from_mode(file.mode)).with_context(message)
}
