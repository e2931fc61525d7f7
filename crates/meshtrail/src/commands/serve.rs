//! `serve`: loads the configuration and runs a server until it is stopped.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::exit;

use anyhow::{Context, Result};
use meshtrail_server::config::{Config, Overrides};
use meshtrail_server::serve::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::args::Serve;
use crate::output::print_line;

/// The default log filter.
const DEFAULT_LOG: &str = "info,hyper=warn,object_store=warn,h2=warn";

/// The exit status when a second signal aborts the stop.
const STOP_ABORTED: i32 = 130;

/// Serves until a signal comes.
pub(crate) async fn run(serve: Serve) -> Result<()> {
    log_to_stderr(serve.log_json, DEFAULT_LOG)?;
    let overrides = Overrides {
        listen: serve.listen,
        store: serve.store,
        data: serve.data,
        tailscale_socket: serve.tailscale_socket,
        directory: serve.directory,
        recorder_listen: serve.recorder_listen,
    };
    let config = Config::load(serve.config.as_deref(), overrides)?;
    if config.recorder_listen.is_empty() {
        tracing::info!(
            "no recorder address is set: --recorder-listen ADDR:PORT (or tailscale:80) takes recordings"
        );
    }
    let store = config.store.clone();
    let server = Server::open(config).await?;
    print_line(&format!("Console  {}", server.url()))?;
    print_line(&format!("Sign in  {}", how_to_sign_in(&server, &store)?))?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    until_stopped(server, stop, serve.ready_file).await
}

/// A sign-in link, if standard output is a terminal. A journal or a file gets none: everyone who reads it within the
/// link's lifetime would be admin.
fn how_to_sign_in(server: &Server, store: &str) -> Result<String> {
    if std::io::stdout().is_terminal() {
        return Ok(format!("{}  (once, within 15 minutes, on this machine)", server.sign_in_link()?));
    }
    Ok(format!(
        "`meshtrail sign-in --store {store}` prints a link, to the user that serves and on this machine"
    ))
}

/// Runs a server until `stop`; writes its addresses to `ready_file` once everything listens.
pub(super) async fn until_stopped(
    server: Server,
    stop: CancellationToken,
    ready_file: Option<PathBuf>,
) -> Result<()> {
    let mut write_error = None;
    let ran = server
        .run(stop.clone(), |ready| {
            if let Some(path) = ready_file
                && let Err(error) = ready.write(&path)
            {
                write_error = Some(
                    anyhow::Error::new(error)
                        .context(format!("failed to write --ready-file {}", path.display())),
                );
                stop.cancel();
            }
        })
        .await;
    match write_error {
        Some(error) => Err(error),
        None => ran.context("the server did not stop in order"),
    }
}

/// Logs to standard error, with the filter in MESHTRAIL_LOG or `default_filter`.
pub(super) fn log_to_stderr(as_json: bool, default_filter: &str) -> Result<()> {
    let wanted = std::env::var("MESHTRAIL_LOG").unwrap_or_else(|_| default_filter.to_owned());
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

/// The first signal starts an orderly stop; the second ends the process at once, which the next start repairs.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        either_signal(&mut interrupt, &mut terminate).await;
        stop.cancel();
        either_signal(&mut interrupt, &mut terminate).await;
        tracing::warn!("stopped at once by a second signal; the next start closes what is left open");
        exit(STOP_ABORTED);
    });
    Ok(())
}

async fn either_signal(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
