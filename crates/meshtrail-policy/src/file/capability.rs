//! Names of app capabilities.

/// Capabilities of Tailscale's own that a policy may grant (Headscale's list, after what Tailscale accepts).
const GRANTABLE: [&str; 7] = [
    "tailscale.com/cap/drive",
    "tailscale.com/cap/relay",
    "tailscale.com/cap/webui",
    "tailscale.com/cap/kubernetes",
    "tailscale.com/cap/tsidp",
    "tailscale.com/cap/secrets",
    "tailscale.com/cap/pam",
];

/// Capabilities that the control plane gives by itself, which a policy can't name (captured refusals).
const RESERVED: [&str; 4] = [
    "tailscale.com/cap/drive-sharer",
    "tailscale.com/cap/relay-target",
    "tailscale.com/cap/ingress",
    "tailscale.com/cap/funnel",
];

/// Why a capability can't be granted under this name. A name of Tailscale's domain that neither list has may be newer
/// than this program: Headscale refuses it, and what Tailscale does is not known.
pub(super) fn name_fault(name: &str, is_headscale: bool) -> Option<&'static str> {
    let form = "the name of a capability is a domain, a slash and a path";
    match name.split_once('/') {
        _ if name.contains("://") => Some(form),
        Some((domain, path)) if domain.is_empty() || path.is_empty() => Some(form),
        None => Some(form),
        _ if RESERVED.contains(&name) => Some("the control plane gives this capability, a policy can't"),
        Some(("tailscale.com", _)) if is_headscale && !GRANTABLE.contains(&name) => {
            Some("Headscale refuses this capability of tailscale.com")
        }
        _ => None,
    }
}
