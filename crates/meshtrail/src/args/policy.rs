//! The arguments of `meshtrail policy …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ApiArgs;

/// `policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Tell whether a login may be, by which rule, and which rules almost matched
    Explain(PolicyExplain),
    /// List who can reach a device, the devices with a tag, or a person's
    WhoCouldReach(PolicyWhoCouldReach),
    /// Tell what a policy file would open and close, for people and machines
    Diff(PolicyDiff),
}

/// Which policy is asked.
#[derive(Debug, Args)]
pub(crate) struct PolicyChoice {
    /// When: 2h ago, yesterday, 2026-11-20, 2026-11-20T14:02Z [default: now]
    #[arg(long, value_name = "WHEN")]
    pub(crate) at: Option<String>,
    /// Ask this policy file in place of the policy in force
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

/// `policy explain`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail policy explain --from alice@example.com --to web --user root\n  \
    meshtrail policy explain --from laptop --to tag:db --at 2026-11-20T14:02Z\n  \
    meshtrail policy explain --from alice@example.com --to web --policy new.hujson\n\n\
    The policy in force then is asked, for the people and devices of then. What can't be evaluated counts as not met, and \
    is named.")]
pub(crate) struct PolicyExplain {
    /// Where the login comes from: a person's login, or a device's name, id or address
    #[arg(long, value_name = "WHO")]
    pub(crate) from: String,
    /// The host: a device's name, id or address, or a tag
    #[arg(long, value_name = "HOST")]
    pub(crate) to: String,
    /// The local user there
    #[arg(long, value_name = "USER", default_value = "root")]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) choice: PolicyChoice,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `policy who-could-reach`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail policy who-could-reach tag:db\n  \
    meshtrail policy who-could-reach db-1 --at 2026-11-20T14:02Z")]
pub(crate) struct PolicyWhoCouldReach {
    /// A device's name, id or address, a tag, or a person's login
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) choice: PolicyChoice,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `policy diff`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    meshtrail policy diff new.hujson\n\n\
    The file is compared with the policy in force, for the people and devices of now, or of --at.")]
pub(crate) struct PolicyDiff {
    /// The new policy, as HuJSON
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// When: 2h ago, yesterday, 2026-11-20, 2026-11-20T14:02Z [default: now]
    #[arg(long, value_name = "WHEN")]
    pub(crate) at: Option<String>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
