//! Templates of the generated files.

use std::net::IpAddr;

use super::{DAYS, FlowLogs, LOG_HOST};

/// The folder of the generated files on a node.
const NODE_FOLDER: &str = "/etc/meshtrail-flow-logs";

/// `SSL_CERT_FILE` replaces the system's own list, so the bundle holds that as well.
pub(super) const DROP_IN: &str = "\
# Made by `meshtrail setup flow-logs`. undo.sh removes it.
[Service]
Environment=SSL_CERT_FILE=/etc/meshtrail-flow-logs/bundle.pem
";

pub(super) fn server(setup: &FlowLogs) -> String {
    let folder = setup.folder.display().to_string();
    let path = |name: &str| toml_text(&format!("{folder}/{name}"));
    format!(
        "[sources.logtail]\ntls_listen = \"{}\"\ntls_cert = {}\ntls_key = {}\n",
        setup.listen,
        path("log.pem"),
        path("log.key")
    )
}

fn toml_text(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

pub(super) fn install(address: IpAddr) -> String {
    format!(
        r#"#!/bin/sh
# Sends this node's flow logs to {address} in place of Tailscale. Run as root; undo.sh takes it back.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for system in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \
    /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/cert.pem; do
    [ -f "$system" ] && break
done
[ -f "$system" ] || {{ echo "no list of this system's CAs was found; nothing was changed" >&2; exit 1; }}

mkdir -p {NODE_FOLDER} /etc/systemd/system/tailscaled.service.d
cat "$system" "$here/ca.pem" > {NODE_FOLDER}/bundle.pem
echo "wrote {NODE_FOLDER}/bundle.pem: this system's CAs and Meshtrail's"
if ! grep -q ' {LOG_HOST} # meshtrail$' /etc/hosts; then
    printf '%s\n' '{address} {LOG_HOST} # meshtrail' >> /etc/hosts
    echo "added to /etc/hosts: {address} {LOG_HOST}"
fi
cp "$here/meshtrail.conf" /etc/systemd/system/tailscaled.service.d/meshtrail.conf
echo "wrote /etc/systemd/system/tailscaled.service.d/meshtrail.conf"
systemctl daemon-reload
echo "now restart tailscaled when it suits: systemctl restart tailscaled"
"#
    )
}

pub(super) fn undo() -> String {
    format!(
        r#"#!/bin/sh
# Takes back what install.sh did. Run as root.
set -eu
rm -f /etc/systemd/system/tailscaled.service.d/meshtrail.conf
rmdir /etc/systemd/system/tailscaled.service.d 2>/dev/null || true
sed -i '/ {LOG_HOST} # meshtrail$/d' /etc/hosts
rm -rf {NODE_FOLDER}
systemctl daemon-reload
echo "now restart tailscaled when it suits: systemctl restart tailscaled"
"#
    )
}

pub(super) fn readme(setup: &FlowLogs) -> String {
    let (address, folder) = (setup.listen.ip(), setup.folder.display());
    format!(
        "Flow logs of a self-hosted tailnet, sent to Meshtrail at {address}\n\
         \n\
         On the server\n  1. Put server/log.pem and server/log.key into {folder}.\n  \
         2. Add server/meshtrail.toml to its configuration, and restart it.\n     \
         Port 443 needs root or CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE).\n\
         \n\
         On each node\n  3. Copy node/ there, read node/install.sh, and run it as root. It changes three things:\n     \
         - /etc/hosts: {LOG_HOST} is {address}. Client logs that went there go to Meshtrail too.\n     \
         - {NODE_FOLDER}/bundle.pem: the system's CAs and one that can vouch for {LOG_HOST} alone.\n     \
         - tailscaled's unit gets a drop-in that names this bundle (SSL_CERT_FILE).\n     \
         node/undo.sh takes all three back.\n  4. Restart tailscaled.\n\
         \n\
         At the control plane\n  5. Nodes send flow logs only if their control plane tells them to: the capability\n     \
         https://tailscale.com/cap/data-plane-audit-logs, a DataPlaneAuditLogID for each node and a\n     \
         DomainDataPlaneAuditLogID for the tailnet. Stock Headscale sends neither id.\n     \
         DANGER: never give a node the capability while logging is off (Headscale's default\n     \
         `logtail.enabled: false`): it disconnects itself.\n\
         \n\
         The certificate holds for {DAYS} days. The CA's key was not kept: run this again before it ends, and\n\
         install.sh on the nodes with the new ca.pem.\n"
    )
}
