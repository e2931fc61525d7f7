//! Policy lines that enable recording, ready to be pasted.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::node::Node;

/// The lines for one control plane.
#[derive(Debug, Serialize)]
pub(super) struct PolicyLines {
    pub(super) for_what: &'static str,
    pub(super) text: String,
}

/// The policy lines, with this node's tag and addresses if they are known.
pub(super) fn policy_lines(tag: &str, node: &Node) -> Vec<PolicyLines> {
    let port = node.port.unwrap_or(80);
    let at = |address: &IpAddr| format!("\"{}\"", SocketAddr::new(*address, port));
    let mut recorders: Vec<String> = node.addresses.iter().map(at).collect();
    if recorders.is_empty() {
        recorders.push(format!("\"100.64.0.9:{port}\""));
    }
    let recorders = recorders.join(", ");
    vec![
        PolicyLines {
            for_what: "Tailscale: the tailnet policy file. tag:prod stands for the nodes that are logged in to.",
            text: format!(
                r#""tagOwners": {{"{tag}": ["autogroup:admin"]}},
"grants": [{{"src": ["tag:prod"], "dst": ["{tag}"], "ip": ["tcp:{port}"]}}],
"ssh": [{{"action": "accept", "src": ["group:eng"], "dst": ["tag:prod"], "users": ["autogroup:nonroot", "root"],
         "recorder": ["{tag}"], "enforceRecorder": true}}]"#
            ),
        },
        PolicyLines {
            for_what: "Headscale: /etc/meshtrail/ssh-policy.json on each recorded node, with TS_DEBUG_SSH_POLICY_FILE and TS_DEBUG_SSH_IGNORE_TAILNET_POLICY=1 in tailscaled's environment.",
            text: format!(
                r#"{{"rules": [{{"principals": [{{"any": true}}], "sshUsers": {{"*": "=", "root": "root"}},
  "action": {{"accept": true, "recorders": [{recorders}],
    "onRecordingFailure": {{"RejectSessionWithMessage": "the recorder can't be reached, session refused",
                           "TerminateSessionWithMessage": "the recorder was lost, session closed"}}}}}}]}}"#
            ),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_json_and_name_this_node() {
        let node = Node {
            addresses: vec!["100.64.0.4".parse().unwrap(), "fd7a::4".parse().unwrap()],
            port: Some(80),
        };
        let lines = policy_lines("tag:rec", &node);
        let tailnet: serde_json::Value = serde_json::from_str(&format!("{{{}}}", lines[0].text)).unwrap();
        assert_eq!(tailnet["ssh"][0]["recorder"][0], "tag:rec");
        let on_node: serde_json::Value = serde_json::from_str(&lines[1].text).unwrap();
        let recorders = &on_node["rules"][0]["action"]["recorders"];
        assert_eq!(recorders, &serde_json::json!(["100.64.0.4:80", "[fd7a::4]:80"]));
    }
}
