//! `demo`: a made-up company's thirty days, served from a folder of its own until told to stop.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use meshtrail_event::Timestamp;
use meshtrail_server::config::{Config, Overlay};
use meshtrail_server::serve::Server;
use meshtrail_server::serve::demo::DemoPlace;
use tokio_util::sync::CancellationToken;

use super::serve::{log_to_stderr, stop_on_signals, until_stopped};
use crate::args::Demo;
use crate::output::{line, note};

/// What is logged when nothing is said: the link is what a newcomer should see.
const USUAL_LOG: &str = "warn";

/// Makes the demo and serves it until a signal comes.
pub(crate) async fn run(demo: Demo) -> Result<()> {
    log_to_stderr(false, USUAL_LOG)?;
    let temporary = match &demo.keep {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("meshtrail-demo-").tempdir()?),
    };
    let kept = demo.keep.as_deref();
    let folder = temporary.as_ref().map(tempfile::TempDir::path).or(kept).unwrap_or(Path::new("."));
    let place = DemoPlace::take(folder, demo.seed, Timestamp::now())?;
    let store = folder.to_str().context("the path of the folder is not valid UTF-8")?.to_owned();
    let overlay = Overlay { listen: Some(demo.listen.clone()), store: Some(store), ..Overlay::default() };
    let mut config = Config::load(None, overlay)?;
    place.configure(&mut config);
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let server = Server::open(config).await?;
    if !place.is_whole() {
        let told = place.tell(&server, progress);
        tokio::select! {
            told = told => told.context("the demo could not be made")?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    line(&format!("Demo     a made-up company, from seed {}; nothing of it happened", demo.seed))?;
    line(&format!("Console  {}", server.url()))?;
    line(&format!("Sign in  {}  (once, within 15 minutes, on this machine)", server.sign_in_link()?))?;
    match &demo.keep {
        Some(folder) => note(&format!("Kept in {}; Ctrl-C stops.", folder.display())),
        None => note("Ctrl-C stops, and nothing stays; --keep DIR keeps it."),
    }
    until_stopped(server, stop, demo.ready_file).await
}

/// One line that grows on a terminal; nothing elsewhere.
fn progress(percent: u64) {
    let mut out = std::io::stderr();
    if !out.is_terminal() {
        return;
    }
    let end = if percent == 100 { "\r\x1b[K" } else { "" };
    // A terminal that is gone changes nothing about the demo.
    drop(write!(out, "\rTelling thirty days … {percent:>3} %{end}").and_then(|()| out.flush()));
}
