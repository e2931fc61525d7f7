//! The arguments of `meshtrail demo`.

use std::path::PathBuf;

use clap::Args;

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
