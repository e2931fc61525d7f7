//! `serve`: from the configuration to a server that runs until it is told to stop.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::exit;

use anyhow::{Context, Result};
use meshtrail_server::config::{Config, Overlay};
use meshtrail_server::serve::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::args::Serve;
use crate::output::line;

/// What is logged when nothing is said.
const USUAL_LOG: &str = "info,hyper=warn,object_store=warn,h2=warn";

/// Exit status when a second signal cuts the stop short.
const CUT_SHORT: i32 = 130;

/// Serves until a signal comes.
pub(crate) async fn run(serve: Serve) -> Result<()> {
    log_to_stderr(serve.log_json, USUAL_LOG)?;
    let overlay = Overlay {
        listen: serve.listen,
        store: serve.store,
        data: serve.data,
        tailscale_socket: serve.tailscale_socket,
        directory: serve.directory,
        recorder_listen: serve.recorder_listen,
    };
    let config = Config::load(serve.config.as_deref(), overlay)?;
    if config.recorder_listen.is_empty() {
        tracing::info!(
            "no recorder address is set: --recorder-listen ADDR:PORT (or tailscale:80) takes recordings"
        );
    }
    let store = config.store.clone();
    let server = Server::open(config).await?;
    line(&format!("Console  {}", server.url()))?;
    line(&format!("Sign in  {}", how_to_sign_in(&server, &store)?))?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    until_stopped(server, stop, serve.ready_file).await
}

/// A link for whoever sits at the terminal. A journal or a file gets none: everyone who reads it within the link's time
/// would be admin.
fn how_to_sign_in(server: &Server, store: &str) -> Result<String> {
    if std::io::stdout().is_terminal() {
        return Ok(format!("{}  (once, within 15 minutes, on this machine)", server.sign_in_link()?));
    }
    Ok(format!(
        "`meshtrail sign-in --store {store}` prints a link, to the user that serves and on this machine"
    ))
}

/// Runs a server until `stop`; leaves its addresses in `ready_file` once everything listens.
pub(super) async fn until_stopped(
    server: Server,
    stop: CancellationToken,
    ready_file: Option<PathBuf>,
) -> Result<()> {
    let mut unwritten = None;
    let ran = server
        .run(stop.clone(), |ready| {
            if let Some(path) = ready_file
                && let Err(error) = ready.write(&path)
            {
                unwritten = Some(
                    anyhow::Error::new(error)
                        .context(format!("failed to write --ready-file {}", path.display())),
                );
                stop.cancel();
            }
        })
        .await;
    match unwritten {
        Some(error) => Err(error),
        None => ran.context("the server did not stop in order"),
    }
}

/// Logs to standard error: what MESHTRAIL_LOG says, or `usual`.
pub(super) fn log_to_stderr(as_json: bool, usual: &str) -> Result<()> {
    let wanted = std::env::var("MESHTRAIL_LOG").unwrap_or_else(|_| usual.to_owned());
    let filter = EnvFilter::try_new(&wanted)
        .context("MESHTRAIL_LOG can't be understood; write a level such as info, or crate=level")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if as_json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// The first signal stops in order; the second ends the process at once, which the next start repairs.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        stop.cancel();
        either(&mut interrupt, &mut terminate).await;
        tracing::warn!("stopped at once by a second signal; the next start closes what is left open");
        exit(CUT_SHORT);
    });
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
