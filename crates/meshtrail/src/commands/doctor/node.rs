//! Checks of this machine's tailscaled, and whether recordings can reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use meshtrail_api::client::Client;
use meshtrail_event::text::with_causes;
use meshtrail_identity::{BackendState, DEFAULT_SOCKET, LocalApi, Peers, Status};
use meshtrail_server::config::{Config, RecorderListen};

use super::Check;
use crate::args::Doctor;

/// The port that Tailscale's control plane sends recordings to.
const RECORDER_PORT: u16 = 80;

/// How long the recorder on this machine may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// This node, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Its addresses in the tailnet.
    pub(super) addresses: Vec<IpAddr>,
    /// The recorder's port.
    pub(super) port: Option<u16>,
}

pub(super) async fn check(doctor: &Doctor, config: Option<&Config>, checks: &mut Vec<Check>) -> Node {
    let configured =
        config.and_then(|config| config.tailscale_socket.clone()).or(doctor.tailscale_socket.clone());
    let socket = configured.unwrap_or_else(|| DEFAULT_SOCKET.into());
    let status = match check_tailscaled(&socket, config, checks).await {
        Some(status) => status,
        None => return Node { port: recorder_port(config), ..Node::default() },
    };
    let mut addresses = status.tailscale_ips.clone();
    addresses.sort_unstable();
    check_tags(&status, &doctor.recorder_tag, checks);
    check_peers(&status, checks);
    check_recorder(&status, &addresses, config, checks).await;
    Node { addresses, port: recorder_port(config) }
}

async fn check_tailscaled(socket: &Path, config: Option<&Config>, checks: &mut Vec<Check>) -> Option<Status> {
    let shown = socket.display();
    if !socket.exists() {
        let directory = config.is_some_and(|config| config.directory.is_some());
        checks.push(match directory {
            true => Check::ok("tailscaled", format!("none at {shown}; a directory file says who is who")),
            false => Check::warn(
                "tailscaled",
                format!("there is no socket at {shown}: nobody can say who is behind an address"),
                "install Tailscale here and run `tailscale up`, name its socket with --tailscale-socket, or set `directory` in the configuration",
            ),
        });
        return None;
    }
    match LocalApi::new(socket).status(Peers::Listed).await {
        Ok(status) if status.backend_state == BackendState::Running => {
            checks.push(Check::ok("tailscaled", format!("answers at {shown}, connected")));
            Some(status)
        }
        Ok(status) => {
            let (says, next) = match status.backend_state {
                BackendState::NeedsLogin => {
                    ("waits for somebody to sign in", "run `tailscale up` and sign in")
                }
                BackendState::NeedsMachineAuth => {
                    ("waits for approval", "approve this device in the admin console")
                }
                _ => ("is not connected", "run `tailscale up`"),
            };
            checks.push(Check::fail("tailscaled", says, next));
            None
        }
        Err(error) => {
            let next = "run this as root, or as the user the server runs as; `tailscale status` tells whether tailscaled runs";
            checks.push(Check::fail("tailscaled", format!("{error:#}"), next));
            None
        }
    }
}

fn check_tags(status: &Status, wanted: &str, checks: &mut Vec<Check>) {
    let has = status.this.as_ref().is_some_and(|this| this.tags.iter().any(|tag| tag == wanted));
    checks.push(match has {
        true => Check::ok("tag", format!("this node has {wanted}")),
        false => Check::warn(
            "tag",
            format!("this node does not have {wanted}, by which a policy finds its recorders"),
            format!("run `tailscale up --advertise-tags={wanted}`; Headscale policies name addresses instead, and need no tag"),
        ),
    });
}

/// Only devices that this node can see are identified when they connect.
fn check_peers(status: &Status, checks: &mut Vec<Check>) {
    let people = status.peer.values().filter(|peer| peer.tags.is_empty()).count();
    checks.push(match (status.peer.len(), people) {
        (0, _) => Check::fail(
            "peers",
            "this node sees no other device: no node can reach the recorder",
            "a grant from the recorded nodes to this one makes both see each other (below)",
        ),
        (all, 0) => Check::warn(
            "peers",
            format!("this node sees {all} devices, none of which belongs to a person: who connects stays self-reported"),
            "a grant between people's devices and this node, in either direction, lets it confirm them",
        ),
        (all, people) => Check::ok("peers", format!("sees {all} devices, {people} of them people's")),
    });
}

/// The recorder's port in the configuration.
fn recorder_port(config: Option<&Config>) -> Option<u16> {
    config?.recorder_listen.first().map(|listen| match listen {
        RecorderListen::Address(address) => address.port(),
        RecorderListen::Tailscale { port } => *port,
    })
}

async fn check_recorder(
    status: &Status,
    addresses: &[IpAddr],
    config: Option<&Config>,
    checks: &mut Vec<Check>,
) {
    let Some(port) = recorder_port(config) else {
        let next = "start the server with --recorder-listen tailscale:80, or set recorder.listen in the configuration and name it with --config";
        checks.push(Check::warn("recorder", "no recorder address is told of", next));
        return;
    };
    if port != RECORDER_PORT {
        let says = format!("listens on port {port}; Tailscale's control plane always sends to 80");
        checks.push(Check::warn(
            "recorder port",
            says,
            "use port 80 unless the policy names the address with its port",
        ));
    }
    // A tailscaled without an interface forwards to loopback: its own addresses can't be reached from this machine.
    let targets: Vec<IpAddr> = match status.tun {
        true => addresses.to_vec(),
        false => vec![Ipv4Addr::LOCALHOST.into()],
    };
    for address in targets {
        let target = SocketAddr::new(address, port);
        checks.push(match probe_recorder(target).await {
            Ok(()) => Check::ok("recorder", format!("takes recordings on {target}")),
            Err(why) => Check::fail(
                "recorder",
                format!("nothing takes recordings on {target}: {why}"),
                "start the server there: --recorder-listen tailscale:80 follows this node's addresses; ports below 1024 need CAP_NET_BIND_SERVICE",
            ),
        });
    }
}

async fn probe_recorder(target: SocketAddr) -> Result<(), String> {
    let client = Client::new(&format!("http://{target}"), None).map_err(|error| error.to_string())?;
    let answer = client.send(http::Method::HEAD, "/v2/record", None);
    match tokio::time::timeout(ANSWER_TIME, answer).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(_) => Err("no answer within 3 s".to_owned()),
    }
}
