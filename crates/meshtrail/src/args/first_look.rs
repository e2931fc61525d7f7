//! The command line of what newcomers do first: look around, find out what is missing.

use std::path::PathBuf;

use clap::Args;

use super::{Asking, Source};

/// `demo`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail demo\n  \
    meshtrail demo --seed 12 --keep ./demo\n\n\
    Thirty days of a company that does not exist: 40 people, 120 devices, recorded sessions to watch, and one night to be found.\n\
    Every page says that it is a demo; nothing of it goes into a real store.")]
pub(crate) struct Demo {
    /// The same seed makes the same company
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) seed: u64,
    /// Where the console and the API listen [default: a free port on this machine]
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0", hide_default_value = true)]
    pub(crate) listen: String,
    /// Keep it in this folder, and serve it again from there; without it, nothing stays
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Write the addresses here, as JSON, when everything listens
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
}

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
    /// How to answer, and which server or store.
    #[command(flatten)]
    pub(crate) asking: Asking,
}

impl Doctor {
    /// Where the store is looked for when nothing is said.
    pub(crate) fn source(&self) -> &Source {
        &self.asking.source
    }
}
