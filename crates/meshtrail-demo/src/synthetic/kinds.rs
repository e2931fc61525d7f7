//! The content of each kind of event.

use std::sync::Arc;

use meshtrail_event::{
    Actor, Change, Detail, Device, Draft, Event, Flow, Identity, IdentityStatus, Json, Kind, KubeRequest,
    LogLine, Login, Outcome, Own, Person, SessionFacts, SessionId, Target, Timestamp,
};

use super::{CONTROL, RECORDER, SyntheticEventsIter};
use crate::calendar::SECOND;
use crate::random::Random;

impl SyntheticEventsIter {
    fn draft(&self, kind: Kind, from: usize, time: i64) -> Draft {
        let template = &self.templates[from];
        let mut draft = Draft::new(kind, Timestamp::from_nanos(time));
        draft.actor = actor(template.whole.clone(), template.owner.clone());
        draft.identity = resolved_identity(time);
        draft
    }

    fn on(&self, to: usize) -> Target {
        Target { device: Some(self.templates[to].whole.clone()), ..Target::default() }
    }

    pub(super) fn flow(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let (proto, port, middle) = *self.random.skewed(&[
            (6, 443, 9_000),
            (6, 5432, 2_500),
            (6, 22, 1_200),
            (17, 53, 120),
            (6, 9100, 3_000),
            (6, 6443, 2_000),
            (6, 8080, 6_000),
            (6, 6379, 300),
            (1, 0, 84),
        ]);
        let ephemeral = 32_768 + self.random.below(28_232);
        let (sent, got) = (60 + self.random.size(middle), 60 + self.random.size(middle * 3));
        let (near, far) = (&self.templates[from], &self.templates[to]);
        let window = 5 * SECOND;
        let flow = Flow {
            dst: Some(with_port(&far.address, port)),
            dst_node: far.brief.id.clone(),
            end: Some(Timestamp::from_nanos(time)),
            layer: Some("virtual".to_owned()),
            proto: Some(proto),
            reporter: near.brief.id.clone(),
            rx_bytes: Some(got),
            rx_packets: Some(1 + got / 900),
            src: Some(with_port(&near.address, if proto == 1 { 0 } else { ephemeral })),
            src_node: near.brief.id.clone(),
            start: Some(Timestamp::from_nanos(time - window)),
            tx_bytes: Some(sent),
            tx_packets: Some(1 + sent / 900),
            ..Flow::default()
        };
        let mut draft = Draft::new(Kind::FlowCounted, Timestamp::from_nanos(time));
        draft.actor = actor(near.brief.clone(), near.brief_owner.clone());
        draft.identity = resolved_identity(time / (30 * SECOND) * (30 * SECOND));
        draft.target.device = Some(far.brief.clone());
        draft.detail = Some(Detail::Flow(Box::new(flow)));
        self.sent_by(from, draft, received)
    }

    pub(super) fn log(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let (number, small) = (self.random.below(65_536), self.random.below(300));
        let peer = self.templates[to].brief.id.clone().unwrap_or_default();
        let text = match self.random.below(4) {
            0 => format!(
                "magicsock: disco: node [{peer}] now using 192.0.2.{}:{number} mtu=1360",
                number % 256
            ),
            1 => format!(
                "netcheck: report: udp=true v6=false mapvarydest=false derp={} derpdist={small}ms",
                small % 25
            ),
            2 => format!("control: netmap: self [{peer}] auth=machine-authorized ({small} peers)"),
            _ => format!("wgengine: Reconfig: configuring WireGuard (with {}/{small} peers)", small % 20),
        };
        let mut draft = self.draft(Kind::LogLine, from, time);
        let line = LogLine {
            collection: Some("tailnode.log.tailscale.io".to_owned()),
            text: Some(text),
            ..LogLine::default()
        };
        draft.detail = Some(Detail::Log(Box::new(line)));
        self.sent_by(from, draft, received)
    }

    pub(super) fn kube(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let verb = *self.random.skewed(&["list", "get", "watch", "patch", "create", "delete"]);
        let resource = *self.random.skewed(&["pods", "deployments", "events", "secrets", "services"]);
        let namespace = *self.random.skewed(&["default", "payments", "search", "billing", "kube-system"]);
        let name = format!("{resource}-{:x}", self.random.below(400));
        let denied = self.random.once_in(50);
        let mut draft = self.draft(Kind::KubeRequestDone, from, time);
        draft.target = self.on(to);
        draft.target.namespace = Some(namespace.to_owned());
        draft.target.of_type = Some(resource.to_owned());
        draft.outcome = if denied { Outcome::Denied } else { Outcome::Success };
        let request = KubeRequest {
            api_version: Some("v1".to_owned()),
            latency: Some(1_000_000 + self.random.size(4_000_000)),
            method: Some(if matches!(verb, "get" | "list" | "watch") { "GET" } else { "POST" }.to_owned()),
            path: Some(format!("/api/v1/namespaces/{namespace}/{resource}/{name}")),
            resource: Some(resource.to_owned()),
            status: Some(if denied { 403 } else { 200 }),
            user_agent: Some("kubectl/v1.33.3 (linux/amd64)".to_owned()),
            verb: Some(verb.to_owned()),
            ..KubeRequest::default()
        };
        draft.target.name = Some(name);
        draft.detail = Some(Detail::Kube(Box::new(request)));
        self.sent_by(to, draft, received)
    }

    pub(super) fn login(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let fails = self.random.once_in(15);
        let kind = if self.random.once_in(2) { Kind::SshLogin } else { Kind::SshLogout };
        let mut draft = self.draft(kind, from, time);
        draft.target = self.on(to);
        let account = *self.random.skewed(&["root", "deploy", "ubuntu", "postgres"]);
        draft.target.account = Some(account.to_owned());
        draft.outcome = if fails { Outcome::Failure } else { Outcome::Success };
        let port = 32_768 + self.random.below(28_000);
        draft.detail = Some(Detail::Login(Box::new(Login {
            method: Some("tailscale".to_owned()),
            peer: Some(with_port(&self.templates[from].address, port)),
            pid: Some(1000 + self.random.below(3_000_000)),
            reason: fails.then(|| "no matching rule".to_owned()),
            service: Some("sshd".to_owned()),
            ..Login::default()
        })));
        self.sent_by(to, draft, received)
    }

    pub(super) fn session(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        self.sessions += 1;
        let length = SECOND * i64::try_from(10 + self.random.size(600)).unwrap_or(10);
        let started = Timestamp::from_nanos(time - length);
        let command = match self.random.below(6) {
            0 => Some("uptime".to_owned()),
            1 => Some(format!("journalctl -u payments --since -{}m", self.random.below(500))),
            2 => Some(format!("psql -c 'select * from orders where id = {}'", self.random.below(1 << 20))),
            3 if self.random.once_in(20) => Some(format!("rm -rf /srv/releases/{}", self.random.below(500))),
            _ => None,
        };
        let facts = SessionFacts {
            bytes: Some(500 + self.random.size(40_000)),
            command,
            ended: Some(Timestamp::from_nanos(time)),
            height: Some(24 + self.random.below(40)),
            marks: Some(1 + self.random.below(4)),
            peer: Some(with_port(&self.templates[to].address, 32_768 + self.random.below(28_000))),
            protocol: Some("v2".to_owned()),
            recorded_by: self.templates[to].whole.name.clone(),
            sha256: Some(self.random.hex(64)),
            started: Some(started),
            terminal: Some("xterm-256color".to_owned()),
            width: Some(80 + self.random.below(120)),
            ..SessionFacts::default()
        };
        let mut draft = self.draft(Kind::SshSessionEnded, from, time);
        draft.target = self.on(to);
        draft.target.account = Some("root".to_owned());
        draft.session = SessionId::new(started, "main", 1, self.sessions).ok();
        draft.detail = Some(Detail::Session(Box::new(facts)));
        self.sent_by_server(RECORDER, draft, received)
    }

    pub(super) fn change(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let mut draft = self.draft(Kind::DeviceTagged, from, time);
        draft.target = self.on(to);
        draft.target.of_type = Some("device".to_owned());
        let tags = |random: &mut Random| {
            Json::from(&serde_json::json!([random.skewed(&["tag:prod", "tag:db", "tag:ci"])]))
        };
        let change = Change {
            action: Some("UPDATE".to_owned()),
            new: Some(tags(&mut self.random)),
            old: Some(tags(&mut self.random)),
            origin: Some("audit-log".to_owned()),
            property: Some("ACL_TAGS".to_owned()),
            ..Change::default()
        };
        draft.detail = Some(Detail::Change(Box::new(change)));
        self.sent_by_server(CONTROL, draft, received)
    }

    pub(super) fn viewed(&mut self, from: usize, time: i64, received: i64) -> Event {
        let mut draft = self.draft(Kind::MeshtrailViewed, from, time);
        let session = 1 + self.random.below(self.sessions.max(1));
        draft.session = SessionId::new(Timestamp::from_nanos(time), "main", 1, session).ok();
        let own = Own {
            method: Some("tailnet".to_owned()),
            role: Some("auditor".to_owned()),
            what: Some("replay".to_owned()),
            ..Own::default()
        };
        draft.detail = Some(Detail::Own(Box::new(own)));
        self.sent_by_server(RECORDER, draft, received)
    }
}

fn actor(device: Arc<Device>, person: Option<Arc<Person>>) -> Actor {
    let tags = if person.is_none() { device.tags.clone() } else { Vec::new() };
    Actor { device: Some(device), person, tags, ..Actor::default() }
}

fn resolved_identity(as_of: i64) -> Identity {
    Identity {
        as_of: Some(Timestamp::from_nanos(as_of)),
        provider: Some("directory".to_owned()),
        status: IdentityStatus::Resolved,
        ..Identity::default()
    }
}

/// `address:port`, without the cost of a formatter.
fn with_port(address: &str, port: u64) -> String {
    let mut text = String::with_capacity(address.len() + 6);
    text.push_str(address);
    text.push(':');
    let mut digits = [0u8; 5];
    let (mut at, mut rest) = (digits.len(), port.min(65_535));
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|&digit| char::from(digit)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_its_port_is_written_as_anybody_writes_it() {
        for port in [0, 7, 22, 443, 65_535] {
            assert_eq!(with_port("100.64.0.7", port), format!("100.64.0.7:{port}"));
        }
    }
}
