//! The arguments of `meshtrail events …`.

use clap::{Args, Subcommand, ValueEnum};

use super::ApiArgs;

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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `events show`
#[derive(Debug, Args)]
pub(crate) struct EventShow {
    /// The event's id
    #[arg(value_name = "EVENT")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
