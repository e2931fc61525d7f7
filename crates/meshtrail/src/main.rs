//! The command line of Meshtrail.
//!
//! - Exit status: 0 when done, 1 when not (or when `verify` finds something), 2 for a wrong command line,
//!   3 when `verify --offline` was not told whose the pack has to be.
//! - Results go to standard output, everything else to standard error.
//! - What is asked of a server or of a store goes through the same API ([`api`]).

mod api;
mod args;
mod commands;
mod live_play;
mod local;
mod output;
mod player;
mod remote;
mod terminal;
mod written;

use std::process::ExitCode;

use clap::Parser;

use args::{Command, CommandLine, Events, Exports, Sessions, Tokens};

/// Queries take and give back large buffers all the time, uploads many small ones: the system's allocator hands pages
/// back to the kernel and fetches them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    // Only the first call in a process can install a provider, and this is it.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    match run(line) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("meshtrail: {}", meshtrail_event::text::visible(&format!("{error:#}"))));
            ExitCode::FAILURE
        }
    }
}

fn run(line: CommandLine) -> anyhow::Result<ExitCode> {
    if writes_a_store(&line.command) {
        // What is recorded is its owner's alone, whatever the shell or the service manager set.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    let mut builder = match &line.command {
        Command::Serve(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let code = runtime.block_on(act(line.command));
    // Threads that still read the keyboard must not hold up the end.
    runtime.shutdown_background();
    code
}

fn writes_a_store(command: &Command) -> bool {
    matches!(command, Command::Serve(_) | Command::Demo(_) | Command::Sessions(Sessions::Import(_)))
}

async fn act(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => commands::serve::run(serve).await?,
        Command::Demo(demo) => commands::demo::run(demo).await?,
        Command::Doctor(doctor) => return commands::doctor::run(doctor).await,
        Command::Sessions(Sessions::Import(import)) => return commands::import::run(import).await,
        Command::Sessions(sessions) => act_on_sessions(sessions).await?,
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
        Command::Setup(args::Setup::FlowLogs(asked)) => commands::setup::flow_logs(&asked)?,
        Command::Changes(asked) => commands::changes::run(asked).await?,
        Command::Who(who) => commands::who::run(who).await?,
        Command::Sources(list) => commands::sources::list(list).await?,
        Command::SignIn(sign_in) => commands::sign_in::run(sign_in).await?,
        Command::Version(version) => commands::version::run(&version)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn act_on_sessions(sessions: Sessions) -> anyhow::Result<()> {
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
