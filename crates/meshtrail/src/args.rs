//! The command line definition: names, flags and help texts. Nothing here acts on them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod access;
mod demo;
mod doctor;
mod events;
mod mesh;
mod policy;
mod proof;
mod serve;
mod sessions;
mod setup;
mod sql;

pub(crate) use access::{SignIn, TokenCreate, TokenRevoke, Tokens, TokensList};
pub(crate) use demo::Demo;
pub(crate) use doctor::Doctor;
pub(crate) use events::{EventShow, Events, EventsQuery, Order};
pub(crate) use mesh::{Changes, SourcesList, Who};
pub(crate) use policy::{Policy, PolicyChoice, PolicyDiff, PolicyExplain, PolicyWhoCouldReach};
pub(crate) use proof::{Checkpoint, Proof, Verify};
pub(crate) use serve::Serve;
pub(crate) use sessions::{
    SessionExport, SessionFollow, SessionImport, SessionKill, SessionPlay, SessionShow, SessionState,
    Sessions, SessionsList,
};
pub(crate) use setup::{Setup, SetupFlowLogs};
pub(crate) use sql::{Exports, ExportsCreate, ExportsFetch, ExportsList, ExportsRemove, Query, QueryFormat};

/// Who accessed what, what did they do, when, and can you prove it?
#[derive(Debug, Parser)]
#[command(
    name = "meshtrail",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        meshtrail serve                                     serve from ./meshtrail-data\n  \
        meshtrail sessions list                             who was where\n  \
        meshtrail sessions play 20261120-main-1-1           watch one session\n  \
        meshtrail events query 'kind:ssh.* since:24h'       what happened today\n  \
        meshtrail verify --all                              check that nothing was changed"
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record sessions, keep the trail, and serve the API and the console
    Serve(Serve),
    /// List, show, play, export, follow and end recorded sessions
    #[command(subcommand, arg_required_else_help = true)]
    Sessions(Sessions),
    /// Ask for events, or show one
    #[command(subcommand, arg_required_else_help = true)]
    Events(Events),
    /// Ask in SQL
    Query(Query),
    /// Make long answers on the server, watch them, and take them away
    #[command(subcommand, arg_required_else_help = true)]
    Exports(Exports),
    /// Tell what changed in the mesh: devices, policy, DNS, keys, users
    Changes(Changes),
    /// Tell which device and which person had an address, a name or a login at a time, and how that is known
    Who(Who),
    /// Ask the policy: may this login be, who could reach what, what would another one change
    #[command(subcommand, arg_required_else_help = true)]
    Policy(Policy),
    /// Show how each source does: last heard, lag, gaps, rate
    Sources(SourcesList),
    /// Check that what is kept is what was written: exits 0 only when all of it holds
    Verify(Verify),
    /// Show the signed head of the trail
    Checkpoint(Checkpoint),
    /// Show the proof that an event is in the trail, or that a smaller trail is part of this one
    Proof(Proof),
    /// Make, list and revoke API tokens
    #[command(subcommand, arg_required_else_help = true)]
    Tokens(Tokens),
    /// Write what other machines need to send here
    #[command(subcommand, arg_required_else_help = true)]
    Setup(Setup),
    /// Look around in a made-up company
    Demo(Demo),
    /// Say what still keeps recordings and events from arriving
    Doctor(Doctor),
    /// Print a fresh one-time link that signs a browser on this machine in
    SignIn(SignIn),
    /// Show the version
    Version(Version),
}

/// Where to ask.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where to ask")]
pub(crate) struct ApiSource {
    /// Ask this server; without it, the one that runs on this machine
    #[arg(long, value_name = "URL", env = "MESHTRAIL_SERVER")]
    pub(crate) server: Option<String>,
    /// API token for the server
    #[arg(long, value_name = "TOKEN", env = "MESHTRAIL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Read this store in place of any server: a folder, or s3://bucket/prefix. If a server runs over it on this
    /// machine, that is asked
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) store: Option<String>,
    /// The local state folder that belongs to the store, if it is not in it
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The trail to read in a store
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) trail: String,
}

impl ApiSource {
    /// The server to use. An explicit `--store` takes precedence, since the server may come from the environment.
    pub(crate) fn named_server(&self) -> Option<&str> {
        self.server.as_deref().filter(|_| self.store.is_none())
    }
}

/// Where to ask, and how to answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// Print JSON, one value per line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: ApiSource,
}

/// `version`
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
