//! Whose rules about policies hold.

use std::fmt;

/// The control plane that a policy is for. Where two of them read the same policy differently, docs/policy.md says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ControlPlane {
    /// Tailscale's own.
    #[default]
    Tailscale,
    /// Headscale.
    Headscale,
    /// None: a policy file beside plain WireGuard, read as Tailscale's are, but with groups in groups.
    PlainWireGuard,
}

impl fmt::Display for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tailscale => "Tailscale",
            Self::Headscale => "Headscale",
            Self::PlainWireGuard => "plain WireGuard",
        })
    }
}
