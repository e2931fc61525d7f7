//! The arguments of `meshtrail doctor`.

use std::path::PathBuf;

use clap::Args;

use super::{ApiArgs, ApiSource};

/// `doctor`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail doctor\n  \
    meshtrail doctor --config /etc/meshtrail/meshtrail.toml --json\n\n\
    Exits 1 when something fails; warnings alone exit 0.")]
pub(crate) struct Doctor {
    /// The configuration file that the server is started with
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// tailscaled's socket [default: the usual place]
    #[arg(long, value_name = "PATH")]
    pub(crate) tailscale_socket: Option<PathBuf>,
    /// Where the server takes recordings, if no configuration file says so. May be repeated
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) recorder_listen: Vec<String>,
    /// The tag of recorders in the policy
    #[arg(long, value_name = "TAG", default_value = "tag:recorder")]
    pub(crate) recorder_tag: String,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

impl Doctor {
    pub(crate) fn source(&self) -> &ApiSource {
        &self.api.source
    }
}
