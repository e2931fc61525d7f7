//! The arguments of `meshtrail serve`.

use std::path::PathBuf;

use clap::Args;

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
