//! `demo`: serves thirty days of a fictional company from a folder of its own until stopped.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use meshtrail_event::Timestamp;
use meshtrail_server::config::{Config, Overrides};
use meshtrail_server::serve::Server;
use meshtrail_server::serve::demo::DemoFolder;
use tokio_util::sync::CancellationToken;

use super::serve::{log_to_stderr, stop_on_signals, until_stopped};
use crate::args::Demo;
use crate::output::{print_line, print_note};

/// The default log filter: the sign-in link should not be lost among log lines.
const DEFAULT_LOG: &str = "warn";

/// Makes the demo and serves it until a signal comes.
pub(crate) async fn run(demo: Demo) -> Result<()> {
    log_to_stderr(false, DEFAULT_LOG)?;
    let temporary = match &demo.keep {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("meshtrail-demo-").tempdir()?),
    };
    let keep = demo.keep.as_deref();
    let folder = temporary.as_ref().map(tempfile::TempDir::path).or(keep).unwrap_or(Path::new("."));
    let demo_folder = DemoFolder::open(folder, demo.seed, Timestamp::now())?;
    let store = folder.to_str().context("the path of the folder is not valid UTF-8")?.to_owned();
    let overrides =
        Overrides { listen: Some(demo.listen.clone()), store: Some(store), ..Overrides::default() };
    let mut config = Config::load(None, overrides)?;
    demo_folder.configure(&mut config);
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let server = Server::open(config).await?;
    if !demo_folder.is_complete() {
        let writing = demo_folder.write_story(&server, progress);
        tokio::select! {
            written = writing => written.context("the demo could not be made")?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    print_line(&format!("Demo     a made-up company, from seed {}; nothing of it happened", demo.seed))?;
    print_line(&format!("Console  {}", server.url()))?;
    print_line(&format!("Sign in  {}  (once, within 15 minutes, on this machine)", server.sign_in_link()?))?;
    match &demo.keep {
        Some(folder) => print_note(&format!("Kept in {}; Ctrl-C stops.", folder.display())),
        None => print_note("Ctrl-C stops, and nothing stays; --keep DIR keeps it."),
    }
    until_stopped(server, stop, demo.ready_file).await
}

/// A progress line on a terminal; nothing elsewhere.
fn progress(percent: u64) {
    let mut out = std::io::stderr();
    if !out.is_terminal() {
        return;
    }
    let end = if percent == 100 { "\r\x1b[K" } else { "" };
    // If the terminal is gone the demo goes on.
    drop(write!(out, "\rTelling thirty days … {percent:>3} %{end}").and_then(|()| out.flush()));
}
