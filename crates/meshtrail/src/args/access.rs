//! The arguments of `meshtrail tokens …` and `meshtrail sign-in`.

use clap::{Args, Subcommand, ValueEnum};
use meshtrail_api::tokens::Role;

use super::ApiArgs;

/// `tokens …`
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Make a token; its secret is shown once
    Create(TokenCreate),
    /// List the tokens in force
    List(TokensList),
    /// Take a token out of force
    Revoke(TokenRevoke),
}

/// The roles a token can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Hand in events, nothing else
    Sender,
    /// Read lists, events and proofs
    Viewer,
    /// Also replay, follow and export
    Auditor,
    /// Also end sessions and manage tokens
    Admin,
}

impl From<TokenRole> for Role {
    fn from(role: TokenRole) -> Role {
        match role {
            TokenRole::Sender => Role::Sender,
            TokenRole::Viewer => Role::Viewer,
            TokenRole::Auditor => Role::Auditor,
            TokenRole::Admin => Role::Admin,
        }
    }
}

/// `tokens create`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshtrail tokens create --name ci-export --role auditor --expires 90d")]
pub(crate) struct TokenCreate {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: String,
    /// What it may do
    #[arg(long, value_enum)]
    pub(crate) role: TokenRole,
    /// When it stops working, such as 12h or 90d; never without it
    #[arg(long, value_name = "SPAN")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `tokens list`
#[derive(Debug, Args)]
pub(crate) struct TokensList {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `tokens revoke`
#[derive(Debug, Args)]
pub(crate) struct TokenRevoke {
    /// The token's id, as `tokens list` shows it
    #[arg(value_name = "TOKEN-ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `sign-in`
#[derive(Debug, Args)]
pub(crate) struct SignIn {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
