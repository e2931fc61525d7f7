//! The arguments of `meshtrail changes`, `meshtrail who` and `meshtrail sources`.

use clap::Args;

use super::ApiArgs;

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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
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
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `sources`
#[derive(Debug, Args)]
pub(crate) struct SourcesList {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
