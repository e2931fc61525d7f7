//! The command line as it is written: names, flags and help texts, and nothing that acts on them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use meshtrail_event::{EventId, SessionId};

use crate::written::{parse_seconds, parse_speed};

mod first_look;
mod setup;

pub(crate) use first_look::{Demo, Doctor, SessionImport};
pub(crate) use setup::{Setup, SetupFlowLogs};

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
    /// What to do.
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
pub(crate) struct Source {
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

impl Source {
    /// The server to ask: a store that is named goes before it, which may only stand in the environment.
    pub(crate) fn named_server(&self) -> Option<&str> {
        self.server.as_deref().filter(|_| self.store.is_none())
    }
}

/// Where to ask, and how to answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asking {
    /// Print JSON, one value per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `serve`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail serve\n  \
    meshtrail serve --recorder-listen tailscale:80\n  \
    meshtrail serve --store s3://audit/acme --recorder-listen 100.64.0.9:80\n\n\
    Flags override the configuration file. Credentials of a bucket come from AWS_* variables.\n\
    MESHTRAIL_LOG sets what is logged, such as debug or meshtrail_trail=debug.")]
pub(crate) struct Serve {
    /// Where everything is kept: a folder, or s3://bucket/prefix [default: ./meshtrail-data]
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) store: Option<String>,
    /// Local state: log, keys, tokens; on a local disk [default: the store's folder, else ./meshtrail-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the console and the API listen [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// Where recordings are taken; `tailscale:PORT` means this node's own Tailscale addresses. May be repeated
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) recorder_listen: Vec<String>,
    /// tailscaled's socket [default: the usual place]
    #[arg(long, value_name = "PATH")]
    pub(crate) tailscale_socket: Option<PathBuf>,
    /// A file that says who is behind which address, for meshes without tailscaled
    #[arg(long, value_name = "FILE")]
    pub(crate) directory: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write the addresses here, as JSON, when everything listens
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Log as JSON lines
    #[arg(long)]
    pub(crate) log_json: bool,
}

/// `sessions …`
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions: live ones first, then the newest
    List(SessionsList),
    /// Show one session
    Show(SessionShow),
    /// Play a recording in this terminal
    Play(SessionPlay),
    /// Take a recording out, byte for byte as it was received, or an evidence pack
    Export(SessionExport),
    /// Watch a live session
    Follow(SessionFollow),
    /// End a live session
    Kill(SessionKill),
    /// Take in recordings from elsewhere: tsrecorder's, or a node's own session logs
    Import(SessionImport),
}

/// `sessions list`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail sessions list\n  \
    meshtrail sessions list 'actor:alice@example.com since:7d'\n  \
    meshtrail sessions list --state live --json")]
pub(crate) struct SessionsList {
    /// A filter, such as 'actor:alice@example.com since:24h'
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Only sessions in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<SessionState>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// The states of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SessionState {
    /// It is being recorded
    Live,
    /// It ended and its recording is whole
    Ended,
    /// The upload was cut off; what came is kept
    Interrupted,
    /// Its recording could not be taken as one
    Failed,
}

/// `sessions show`
#[derive(Debug, Args)]
pub(crate) struct SessionShow {
    /// The session's id
    #[arg(value_name = "SESSION")]
    pub(crate) id: String,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `sessions play`
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: space pauses, + and - change the speed, . goes one step while paused, q ends.\n\n\
    What was recorded is drawn on a screen of our own: nothing in it reaches this terminal raw.\n\
    Watching a recording is an event in the trail."
)]
pub(crate) struct SessionPlay {
    /// The session's id
    #[arg(value_name = "SESSION")]
    pub(crate) id: String,
    /// How fast
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = parse_speed)]
    pub(crate) speed: f64,
    /// Cut pauses to this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) idle_limit: Option<Duration>,
    /// Begin here
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) from: Option<Duration>,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `sessions export`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail sessions export 20261120-main-1-1 --output incident.cast\n  \
    meshtrail sessions export 20261120-main-1-1 --pack --output evidence.html\n\n\
    Exporting is an event in the trail. A pack is one HTML file that replays the session and checks\n\
    itself in any browser, without a server; `meshtrail verify --offline` checks it as well.")]
pub(crate) struct SessionExport {
    /// The session's id
    #[arg(value_name = "SESSION")]
    pub(crate) id: String,
    /// Write here; without it, to standard output if that is no terminal
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// An evidence pack in place of the recording alone
    #[arg(long)]
    pub(crate) pack: bool,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `sessions follow`
#[derive(Debug, Args)]
#[command(
    after_help = "Key: q ends watching; the session goes on. Into a pipe, or with --json, the lines of\n\
    the recording are printed as they come. Watching a live session is an event in the trail."
)]
pub(crate) struct SessionFollow {
    /// The session's id
    #[arg(value_name = "SESSION")]
    pub(crate) id: String,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `sessions kill`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    meshtrail sessions kill 20261120-main-1-1 --reason 'INC-42: wrong host' --message 'Please call ops.'\n\n\
    The recording stops and the node is told that it failed. A node whose policy enforces recording ends\n\
    the session and shows the message; any other goes on without a recording. The reason is recorded.")]
pub(crate) struct SessionKill {
    /// The session's id
    #[arg(value_name = "SESSION")]
    pub(crate) id: String,
    /// Why: goes into the trail
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// What the node is told, for its log; the person sees the message of the SSH policy
    #[arg(long, value_name = "TEXT", default_value = "This session was ended by an administrator.")]
    pub(crate) message: String,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `events …`
#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// List the events that a filter lets through, newest first
    Query(EventsQuery),
    /// Show one event
    Show(EventShow),
}

/// The order of a list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Newest first
    Newest,
    /// Oldest first
    Oldest,
}

/// `events query`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail events query 'actor:someone@example.com kind:ssh.* since:24h'\n  \
    meshtrail events query 'outcome:denied target:tag:prod' --limit 500 --json\n  \
    meshtrail events query 'kind:ssh.* \"rm -rf\"' --follow\n\n\
    With --json each line is one event exactly as it is proven. --follow shows the newest, then those that come, until \
    Ctrl-C; it goes on where it was when the server comes back.")]
pub(crate) struct EventsQuery {
    /// A filter, such as 'kind:ssh.* since:24h'
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// Which end to begin at
    #[arg(long, value_enum, default_value = "newest")]
    pub(crate) order: Order,
    /// Go on with events as they come, the newest last
    #[arg(long, short, conflicts_with_all = ["order", "store"])]
    pub(crate) follow: bool,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `events show`
#[derive(Debug, Args)]
pub(crate) struct EventShow {
    /// The event's id
    #[arg(value_name = "EVENT")]
    pub(crate) id: String,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `verify`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  \
        meshtrail verify --all\n  \
        meshtrail verify 20261120-main-1-1 main.recorder.1.7\n  \
        meshtrail verify --all --checkpoint yesterday.note      that history was not rolled back\n  \
        meshtrail verify --offline evidence.html                an evidence pack, without any server\n\n\
        Exit status: 0 when all of it holds, 1 with a list of what does not, 2 for a wrong command line.",
    group = clap::ArgGroup::new("what").required(true).multiple(true).args(["ids", "all", "offline", "checkpoint"])
)]
pub(crate) struct Verify {
    /// Events and sessions to check
    #[arg(value_name = "ID", value_parser = parse_id)]
    pub(crate) ids: Vec<String>,
    /// Check the whole store: every event, segment, tile, manifest and recording
    #[arg(long, conflicts_with_all = ["ids", "offline"])]
    pub(crate) all: bool,
    /// Check an evidence pack, with nothing but the file
    #[arg(long, value_name = "PACK", conflicts_with_all = ["ids", "store"])]
    pub(crate) offline: Option<PathBuf>,
    /// An older checkpoint that this trail must still contain
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The key that must have signed; without it, the key that the trail itself names
    #[arg(long, value_name = "KEY")]
    pub(crate) vkey: Option<String>,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// An event's or a session's id.
fn parse_id(text: &str) -> Result<String, String> {
    let fits = text.parse::<SessionId>().is_ok() || text.parse::<EventId>().is_ok();
    let wrong = "write a session's id such as 20261120-main-3-17, or an event's such as main.recorder.3.17";
    if fits { Ok(text.to_owned()) } else { Err(wrong.to_owned()) }
}

/// `checkpoint`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    meshtrail checkpoint > today.note        keep it elsewhere; `verify --checkpoint` compares later")]
pub(crate) struct Checkpoint {
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `proof`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  \
        meshtrail proof main.recorder.1.7           that this event is in the trail\n  \
        meshtrail proof --from 1000                 that the first 1000 events are still the same",
    group = clap::ArgGroup::new("of").required(true).args(["event", "index", "from"])
)]
pub(crate) struct Proof {
    /// The event's id
    #[arg(value_name = "EVENT")]
    pub(crate) event: Option<String>,
    /// The event's index in place of its id
    #[arg(long, value_name = "N")]
    pub(crate) index: Option<u64>,
    /// In a trail of this size
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) size: Option<u64>,
    /// Consistency from this size
    #[arg(long, value_name = "M")]
    pub(crate) from: Option<u64>,
    /// Consistency up to this size
    #[arg(long, value_name = "N", requires = "from")]
    pub(crate) to: Option<u64>,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tokens …`
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Make a token; its secret is shown once
    Create(TokenCreate),
    /// List the tokens in force
    List(TokensList),
    /// Take a token out of force
    Revoke(TokenRevoke),
}

/// The roles a token can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Hand in events, nothing else
    Sender,
    /// Read lists, events and proofs
    Viewer,
    /// Also replay, follow and export
    Auditor,
    /// Also end sessions and manage tokens
    Admin,
}

/// `tokens create`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshtrail tokens create --name ci-export --role auditor --expires 90d")]
pub(crate) struct TokenCreate {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// What it may do
    #[arg(long, value_enum)]
    pub(crate) role: TokenRole,
    /// When it stops working, such as 12h or 90d; never without it
    #[arg(long, value_name = "SPAN")]
    pub(crate) expires: Option<String>,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `sources`
#[derive(Debug, Args)]
pub(crate) struct SourcesList {
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `changes`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail changes --since 24h --severity high\n  \
    meshtrail changes 'actor:alice@example.com kind:policy.*' --diff")]
pub(crate) struct Changes {
    /// A filter, such as 'actor:alice@example.com'; see docs/filter-language.md
    pub(crate) filter: Option<String>,
    /// From when on: a time, or a span before now
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    pub(crate) since: String,
    /// Until when: a time, or a span before now
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Only what matters at least this much: info, low, medium or high
    #[arg(long, value_name = "LEVEL")]
    pub(crate) severity: Option<String>,
    /// Show differences of texts
    #[arg(long)]
    pub(crate) diff: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tokens list`
#[derive(Debug, Args)]
pub(crate) struct TokensList {
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tokens revoke`
#[derive(Debug, Args)]
pub(crate) struct TokenRevoke {
    /// The token's id, as `tokens list` shows it
    #[arg(value_name = "TOKEN-ID")]
    pub(crate) id: String,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `sign-in`
#[derive(Debug, Args)]
pub(crate) struct SignIn {
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `version`
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `query`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail query \"select actor, count(*) from ssh_session where time > now() - interval '7 days' group by 1\"\n  \
    meshtrail query --format parquet --output flows.parquet \"select * from flow where time > now() - interval '1 day'\"\n  \
    meshtrail query - < question.sql\n\n\
    The tables: session, login, kube, flow, config, log, finding, meshtrail, and event over all; docs/sql.md has their columns.\n\
    The question is written into the trail before it runs.")]
pub(crate) struct Query {
    /// One select; `-`, or nothing, reads it from standard input
    #[arg(value_name = "SQL")]
    pub(crate) sql: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,
    /// Short for --format jsonl
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Write the answer into this file, which must not be there yet
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// At most this many rows
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<u64>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// How an answer in SQL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// Columns for reading
    Table,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with headings
    Csv,
    /// A Parquet file
    Parquet,
}

/// `exports`
#[derive(Debug, Subcommand)]
pub(crate) enum Exports {
    /// Begin one: the answer to a question in SQL, or the events that a filter lets through
    Create(ExportsCreate),
    /// List them
    List(ExportsList),
    /// Wait for one and take its file away
    Fetch(ExportsFetch),
    /// Give one up that is being made, or remove one that is done with
    Remove(ExportsRemove),
}

/// `exports create`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("question").required(true).args(["sql", "filter"]))]
pub(crate) struct ExportsCreate {
    /// One select: its answer is exported
    #[arg(long, value_name = "SQL")]
    pub(crate) sql: Option<String>,
    /// A filter: the leaves it lets through are exported byte for byte, as jsonl
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// How an answer in SQL is written
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub(crate) format: ExportFormat,
    /// Wait for it and write it into this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with headings
    Csv,
    /// A Parquet file
    Parquet,
}

impl ExportFormat {
    /// The name the API knows it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ExportFormat::Jsonl => "jsonl",
            ExportFormat::Csv => "csv",
            ExportFormat::Parquet => "parquet",
        }
    }
}

/// `exports list`
#[derive(Debug, Args)]
pub(crate) struct ExportsList {
    /// How to ask.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `exports fetch`
#[derive(Debug, Args)]
pub(crate) struct ExportsFetch {
    /// The export's id
    pub(crate) id: String,
    /// The file to write; without it, one of the export's own name
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `exports remove`
#[derive(Debug, Args)]
pub(crate) struct ExportsRemove {
    /// The export's id
    pub(crate) id: String,
    /// Where to ask.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `who`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail who 100.64.0.7 --at 2026-11-20T14:02Z\n  \
    meshtrail who build-3 --at 2h\n  \
    meshtrail who someone@example.com\n\n\
    The answer rests on what was observed: who told it and as of when is said, and nothing is guessed.")]
pub(crate) struct Who {
    /// An address, a device's name or id, or a person's login
    #[arg(value_name = "WHOM")]
    pub(crate) subject: String,
    /// When: 2h ago, yesterday, 2026-11-20, 2026-11-20T14:02Z [default: now]
    #[arg(long, value_name = "WHEN")]
    pub(crate) at: Option<String>,
    /// Where to ask, and how to answer.
    #[command(flatten)]
    pub(crate) asking: Asking,
}
