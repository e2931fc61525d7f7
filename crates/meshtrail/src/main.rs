//! The command line of Meshtrail.
//!
//! - Exit status: 0 on success, 1 on failure (or when a check of `verify` fails), 2 for a wrong command line,
//!   3 when a pack passes `verify --offline` but no key was given to compare its signer with.
//! - Results go to standard output, everything else to standard error.
//! - Requests to a server and reads of a store use the same API ([`api`]).

#![allow(missing_docs, reason = "an application crate: docs only where the name does not say enough")]

mod api;
mod args;
mod commands;
mod local;
mod output;
mod playback_clock;
mod player;
mod terminal;
mod units;

use std::process::ExitCode;

use clap::Parser;

use args::{Command, CommandLine, Events, Exports, Policy, Sessions, Tokens};

/// Queries allocate and free large buffers all the time, uploads many small ones: the system's allocator returns pages
/// to the kernel and requests them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    // This is the first call in the process, so that it can't fail.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    match run(line) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_note(&format!(
                "meshtrail: {}",
                meshtrail_event::text::visible(&format!("{error:#}"))
            ));
            ExitCode::FAILURE
        }
    }
}

fn run(line: CommandLine) -> anyhow::Result<ExitCode> {
    if writes_a_store(&line.command) {
        // Files of the store are readable by their owner only, whatever umask the shell or the service manager set.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    if matches!(line.command, Command::Serve(_) | Command::Demo(_)) {
        // Each connection has buffers of 24 KiB, most of which it never touches; in huge pages the kernel clears and keeps
        // all of it. A kernel that can't does what it always did.
        let _disabled = rustix::thread::disable_transparent_huge_pages(true);
    }
    let mut builder = match &line.command {
        Command::Serve(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let code = runtime.block_on(dispatch(line.command));
    // Threads that still read the keyboard must not delay the exit.
    runtime.shutdown_background();
    code
}

fn writes_a_store(command: &Command) -> bool {
    matches!(command, Command::Serve(_) | Command::Demo(_) | Command::Sessions(Sessions::Import(_)))
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => commands::serve::run(serve).await?,
        Command::Demo(demo) => commands::demo::run(demo).await?,
        Command::Doctor(doctor) => return commands::doctor::run(doctor).await,
        Command::Sessions(Sessions::Import(import)) => return commands::import::run(import).await,
        Command::Sessions(sessions) => dispatch_sessions(sessions).await?,
        Command::Events(Events::Query(query)) => commands::events::query(query).await?,
        Command::Events(Events::Show(show)) => commands::events::show(show).await?,
        Command::Query(query) => commands::query::run(query).await?,
        Command::Exports(Exports::Create(create)) => commands::exports::create(create).await?,
        Command::Exports(Exports::List(list)) => commands::exports::list(list).await?,
        Command::Exports(Exports::Fetch(fetch)) => commands::exports::fetch(fetch).await?,
        Command::Exports(Exports::Remove(remove)) => commands::exports::remove(remove).await?,
        Command::Verify(verify) => return commands::verify::run(verify).await,
        Command::Checkpoint(checkpoint) => commands::proof::checkpoint(checkpoint).await?,
        Command::Proof(proof) => commands::proof::proof(proof).await?,
        Command::Tokens(Tokens::Create(create)) => commands::tokens::create(create).await?,
        Command::Tokens(Tokens::List(list)) => commands::tokens::list(list).await?,
        Command::Tokens(Tokens::Revoke(revoke)) => commands::tokens::revoke(revoke).await?,
        Command::Setup(args::Setup::FlowLogs(flow_logs)) => commands::setup::flow_logs(&flow_logs)?,
        Command::Changes(changes) => commands::changes::run(changes).await?,
        Command::Who(who) => commands::who::run(who).await?,
        Command::Policy(Policy::Explain(explain)) => commands::policy::explain(explain).await?,
        Command::Policy(Policy::Diff(diff)) => commands::policy::diff(diff).await?,
        Command::Policy(Policy::WhoCouldReach(reach)) => commands::policy::who_could_reach(reach).await?,
        Command::Sources(list) => commands::sources::list(list).await?,
        Command::SignIn(sign_in) => commands::sign_in::run(sign_in).await?,
        Command::Version(version) => commands::version::run(&version)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn dispatch_sessions(sessions: Sessions) -> anyhow::Result<()> {
    match sessions {
        Sessions::List(list) => commands::sessions::list(list).await,
        Sessions::Show(show) => commands::sessions::show(show).await,
        Sessions::Play(play) => commands::play::play(play).await,
        Sessions::Export(export) => commands::export::run(export).await,
        Sessions::Follow(follow) => commands::play::follow(follow).await,
        Sessions::Kill(kill) => commands::sessions::kill(kill).await,
        Sessions::Import(_) => unreachable!("an import has an exit status of its own"),
    }
}
