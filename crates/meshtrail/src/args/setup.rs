//! The arguments of `meshtrail setup …`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What is set up.
#[derive(Debug, Subcommand)]
pub(crate) enum Setup {
    /// What a self-hosted tailnet needs to send its flow logs here: a certificate, and scripts for its nodes
    FlowLogs(SetupFlowLogs),
}

/// Makes a certificate for the log host from a CA of its own, a script for nodes and one that undoes it. Everything is
/// written to a folder; nothing else is changed, here or on nodes, until somebody runs those scripts.
#[derive(Debug, Args)]
pub(crate) struct SetupFlowLogs {
    /// Where nodes reach this server; clients always use port 443
    #[arg(long, value_name = "IP", default_value = "127.0.0.2")]
    pub(crate) address: IpAddr,
    /// The folder to write, which must not be there yet
    #[arg(long, value_name = "DIR", default_value = "meshtrail-flow-logs")]
    pub(crate) output: PathBuf,
    /// Where the certificate will lie on the server, for its configuration
    #[arg(long, value_name = "DIR", default_value = "/etc/meshtrail")]
    pub(crate) server_folder: PathBuf,
    /// Only say what would be written, and show all but the keys
    #[arg(long)]
    pub(crate) dry_run: bool,
}
