//! The arguments of `meshtrail sessions …`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ApiArgs, ApiSource};
use crate::units::{parse_seconds, parse_speed};

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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
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
    #[command(flatten)]
    pub(crate) source: ApiSource,
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
    #[command(flatten)]
    pub(crate) source: ApiSource,
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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `sessions import`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail sessions import /var/lib/tailscale/ssh-sessions --node web-1\n  \
    meshtrail sessions import /data/recordings\n  \
    meshtrail sessions import s3://recordings/tsrecorder\n\n\
    Takes asciicast files as tsrecorder and tailscaled write them. Files that are here already are passed over, so an import\n\
    can be repeated. Exits 1 when a file could not be taken in; all others are. Credentials of a bucket come from AWS_* variables.")]
pub(crate) struct SessionImport {
    /// A file, a folder with *.cast files at any depth, or s3://bucket/prefix
    #[arg(value_name = "PATH|URL")]
    pub(crate) from: String,
    /// The node that recorded them, by name or id, where no folder is named after it
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Say what would be taken in, and take in nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
