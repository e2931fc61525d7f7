//! The arguments of `meshtrail verify`, `meshtrail checkpoint` and `meshtrail proof`.

use std::path::PathBuf;

use clap::Args;
use meshtrail_event::{EventId, RelativePosition, SessionId};

use super::ApiArgs;

/// `verify`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  \
        meshtrail verify --all\n  \
        meshtrail verify 20261120-main-1-1 main.recorder.1.7\n  \
        meshtrail verify --all --checkpoint yesterday.note      that history was not rolled back\n  \
        meshtrail verify --offline evidence.html --vkey KEY     an evidence pack, without any server\n\n\
        Exit status: 0 when all of it holds, 1 with a list of what does not, 2 for a wrong command line, 3 when a \
        pack holds in itself but no --vkey said whose it has to be.",
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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// Checks that a text is an event's or a session's id.
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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `proof`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  \
        meshtrail proof main.recorder.1.7           that this event is in the trail\n  \
        meshtrail proof --index main:17             that the trail has an event there\n  \
        meshtrail proof --from 1000                 that the first 1000 events are still the same",
    group = clap::ArgGroup::new("of").required(true).args(["event", "index", "from"])
)]
pub(crate) struct Proof {
    /// The event's id
    #[arg(value_name = "EVENT")]
    pub(crate) event: Option<String>,
    /// The event's place instead of its id: TRAIL:INDEX, or an index in the server's own trail
    #[arg(long, value_name = "POSITION")]
    pub(crate) index: Option<RelativePosition>,
    /// In a trail of this size
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) size: Option<u64>,
    /// Consistency from this size: TRAIL:SIZE, or a size of the server's own trail
    #[arg(long, value_name = "POSITION")]
    pub(crate) from: Option<RelativePosition>,
    /// Consistency up to this size
    #[arg(long, value_name = "N", requires = "from")]
    pub(crate) to: Option<u64>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
