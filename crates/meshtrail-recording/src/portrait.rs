//! Who opened a session on what, put together from the header, the peer's address and the directory.
//!
//! The peer is the node that records; only its address is verified. The person is what that node claims in the
//! header; a provider that knows the claimed device confirms or contradicts it. Both are kept where they
//! differ, and nothing is guessed where nobody knows.

use std::net::SocketAddr;
use std::sync::Arc;

use meshtrail_event::{
    Actor, Claim, Detail, Device, Draft, EventId, Identity, IdentityStatus, Kind, Outcome, Person,
    SessionFacts, SessionId, Target, Timestamp,
};
use meshtrail_identity::{ClaimCheck, Connection, Resolution, Resolver};

use crate::{
    cast::{Anomalies, Header},
    journal::{Closing, End, Opening},
};

/// What sort of session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    /// A shell or command over SSH.
    Ssh,
    /// `exec` or `attach` through the Kubernetes API proxy.
    Kube,
}

/// All that is known of a session but its bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Portrait {
    pub(crate) kind: SessionKind,
    pub(crate) session: SessionId,
    pub(crate) actor: Actor,
    pub(crate) target: Target,
    pub(crate) identity: Identity,
    pub(crate) facts: SessionFacts,
}

/// Clocks may differ by this much before it is worth a word.
const CLOCK_TOLERANCE_SECONDS: i64 = 60;

impl Portrait {
    /// A session of which only the opening is known.
    pub(crate) fn unknown(opening: &Opening) -> Self {
        let address = opening.peer.parse::<SocketAddr>().ok().map(|peer| peer.ip().to_string());
        let facts = SessionFacts {
            started: Some(opening.started),
            peer: Some(opening.peer.clone()),
            protocol: Some(opening.protocol.clone()),
            ..SessionFacts::default()
        };
        Self {
            kind: SessionKind::Ssh,
            session: opening.session.clone(),
            actor: Actor::default(),
            target: Target { address, ..Target::default() },
            identity: Identity { reason: Some("the session sent no header".into()), ..Identity::default() },
            facts,
        }
    }

    /// What the header tells, before anyone was asked about it.
    pub(crate) fn claimed(opening: &Opening, header: &Header, anomalies: &Anomalies) -> Self {
        let mut portrait = Self::unknown(opening);
        let claim = claim_of(header);
        portrait.kind = if header.kubernetes.is_some() { SessionKind::Kube } else { SessionKind::Ssh };
        portrait.actor = claimed_actor(header);
        portrait.identity = unconfirmed(&claim, "nobody was asked");
        portrait.describe(opening, header);
        portrait.note(anomalies);
        portrait
    }

    /// Asks who the peer is, and what is known of whom it names.
    pub(crate) async fn resolve(&mut self, header: &Header, from: Connection, resolver: &Resolver) {
        let claim = claim_of(header);
        self.recorded_by(&resolver.who(from).await);
        if claim != Claim::default() {
            self.checked(claim.clone(), resolver.claim(&claim).await);
        }
    }

    fn recorded_by(&mut self, node: &Resolution) {
        let device = node.device.clone().filter(|device| !device.is_empty());
        self.facts.recorded_by = device.as_ref().and_then(|device| device.name.clone());
        if self.kind == SessionKind::Ssh && device.is_some() {
            self.target.device = device.map(Arc::new);
            self.target.address = None;
        }
    }

    fn checked(&mut self, claim: Claim, check: ClaimCheck) {
        match check {
            ClaimCheck::Agrees { subject, provider, as_of } => {
                self.actor = subject.actor();
                self.identity = Identity {
                    as_of: Some(as_of),
                    provider: Some(provider.as_str().to_owned()),
                    status: IdentityStatus::Resolved,
                    ..Identity::default()
                };
            }
            ClaimCheck::Conflicts { what, subject, provider, as_of } => {
                let what: Vec<String> = what.iter().map(ToString::to_string).collect();
                self.actor = subject.actor();
                self.identity = Identity {
                    as_of: Some(as_of),
                    claimed: Some(claim),
                    provider: Some(provider.as_str().to_owned()),
                    reason: Some(format!("the header disagrees: {}", what.join("; "))),
                    status: IdentityStatus::Conflicting,
                };
            }
            ClaimCheck::Unknown { why } => self.identity = unconfirmed(&claim, &why),
        }
    }

    fn describe(&mut self, opening: &Opening, header: &Header) {
        let Self { target, facts, kind, .. } = self;
        facts.command = header.command.clone();
        facts.connection = header.connection_id.clone();
        facts.requested_user = header.ssh_user.clone();
        facts.terminal = header.term.clone().filter(|_| header.has_terminal());
        facts.width = Some(header.width).filter(|_| header.has_terminal());
        facts.height = Some(header.height).filter(|_| header.has_terminal());
        facts.not_seen = not_seen(*kind, header.has_terminal());
        target.account = header.local_user.clone();
        if let Some(kubernetes) = &header.kubernetes {
            target.of_type = Some("pod".into());
            target.name = some_text(&kubernetes.pod);
            target.namespace = some_text(&kubernetes.namespace);
            target.container = some_text(&kubernetes.container);
        }
        if let Some(theirs) = header.timestamp {
            let apart = theirs.saturating_sub(opening.started.as_seconds());
            if apart.abs() > CLOCK_TOLERANCE_SECONDS {
                facts.anomalies.push(format!("header.timestamp: the sender's clock is {apart} s from ours"));
            }
        }
    }

    /// Adds what the stream got wrong, in words; once each.
    pub(crate) fn note(&mut self, anomalies: &Anomalies) {
        for anomaly in anomalies.iter() {
            let times = if anomaly.count > 1 { format!(", {} times", anomaly.count) } else { String::new() };
            let words = format!("line {}: {}{times}", anomaly.line, anomaly.detail);
            if !self.facts.anomalies.contains(&words) {
                self.facts.anomalies.push(words);
            }
        }
    }

    /// The event that says it started.
    pub(crate) fn started(&self) -> Draft {
        let kind = match self.kind {
            SessionKind::Ssh => Kind::SshSessionStarted,
            SessionKind::Kube => Kind::KubeSessionStarted,
        };
        let time = self.facts.started.unwrap_or_else(Timestamp::now);
        self.draft(kind, time, Outcome::Success)
    }

    /// The event that ends it.
    pub(crate) fn ended(&self, closing: &Closing) -> Draft {
        let (kind, outcome) = match (self.kind, closing.end) {
            (SessionKind::Ssh, End::Ended) => (Kind::SshSessionEnded, Outcome::Success),
            (SessionKind::Ssh, End::Interrupted) => (Kind::SshSessionInterrupted, Outcome::Failure),
            (SessionKind::Ssh, End::Failed) => (Kind::SshSessionFailed, Outcome::Failure),
            (SessionKind::Kube, End::Ended) => (Kind::KubeSessionEnded, Outcome::Success),
            (SessionKind::Kube, End::Interrupted) => (Kind::KubeSessionInterrupted, Outcome::Failure),
            (SessionKind::Kube, End::Failed) => (Kind::KubeSessionFailed, Outcome::Failure),
        };
        let mut draft = self.draft(kind, closing.ended, outcome);
        let mut facts = self.facts.clone();
        facts.bytes = Some(closing.bytes);
        facts.ended = Some(closing.ended);
        facts.reason = closing.reason.clone();
        facts.sha256 = closing.sha256.clone();
        draft.detail = Some(Detail::Session(Box::new(facts)));
        draft
    }

    /// Adds what only the end knows.
    pub(crate) fn count(&mut self, marks: u64, started_event: Option<EventId>) {
        self.facts.marks = Some(marks);
        self.facts.started_event = started_event;
    }

    fn draft(&self, kind: Kind, time: Timestamp, outcome: Outcome) -> Draft {
        Draft {
            actor: self.actor.clone(),
            detail: Some(Detail::Session(Box::new(self.facts.clone()))),
            identity: self.identity.clone(),
            outcome,
            session: Some(self.session.clone()),
            target: self.target.clone(),
            ..Draft::new(kind, time)
        }
    }
}

/// Who a claim is about, how far that is known, and which device the claim came from.
pub(crate) async fn of_claim(
    header: &Header,
    from: Connection,
    resolver: &Resolver,
) -> (Actor, Identity, Option<Arc<Device>>) {
    let now = Timestamp::now();
    let session = SessionId::new(now, "claim", 0, 0).expect("the name is valid");
    let peer_text = from.peer.to_string();
    let opening = Opening { session, number: 0, started: now, peer: peer_text, protocol: String::new() };
    let mut portrait = Portrait::claimed(&opening, header, &Anomalies::default());
    portrait.resolve(header, from, resolver).await;
    (portrait.actor, portrait.identity, portrait.target.device)
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What the header says of who connected.
pub(crate) fn claim_of(header: &Header) -> Claim {
    Claim {
        login: header.src_node_user.clone(),
        node: header.src_node.clone(),
        node_id: header.src_node_id.clone(),
        tags: header.src_node_tags.clone(),
    }
}

fn claimed_actor(header: &Header) -> Actor {
    let person = header.src_node_user.clone().map(|login| {
        let id = header.src_node_user_id.map(|id| id.to_string());
        Arc::new(Person { id, login, ..Person::default() })
    });
    let device = Device {
        id: header.src_node_id.clone(),
        name: header.src_node.clone(),
        tags: header.src_node_tags.clone(),
        ..Device::default()
    };
    let device = Some(device).filter(|device| !device.is_empty()).map(Arc::new);
    Actor { device, person, tags: header.src_node_tags.clone(), ..Actor::default() }
}

fn unconfirmed(claim: &Claim, why: &str) -> Identity {
    let claims_nothing = *claim == Claim::default();
    let reason = if claims_nothing { "the header names nobody" } else { why };
    Identity {
        provider: (!claims_nothing).then(|| "header".to_owned()),
        reason: Some(reason.to_owned()),
        status: if claims_nothing { IdentityStatus::Unresolved } else { IdentityStatus::SelfReported },
        ..Identity::default()
    }
}

/// What these clients do not send, so that nobody takes silence for absence.
fn not_seen(kind: SessionKind, terminal: bool) -> Vec<String> {
    let words: &[&str] = match (kind, terminal) {
        (SessionKind::Ssh, true) => {
            &["stdin", "exit status", "resizes", "file transfers over SFTP", "port forwarding"]
        }
        (SessionKind::Ssh, false) => &[
            "stdin",
            "stderr of commands without a terminal",
            "exit status",
            "file transfers over SFTP",
            "port forwarding",
        ],
        (SessionKind::Kube, _) => &["stdin", "exit status", "port forwarding"],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        let started = Timestamp::from_seconds(1_767_225_600).unwrap();
        let session = SessionId::new(started, "main", 1, 1).unwrap();
        Opening { session, number: 1, started, peer: "100.64.0.9:4711".into(), protocol: "v2".into() }
    }

    fn header(json: &str) -> Header {
        Header::parse(json.as_bytes(), &mut Anomalies::default()).unwrap()
    }

    async fn portrait(json: &str, directory: Option<&str>) -> Portrait {
        let resolver = match directory {
            Some(text) => {
                let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
                std::fs::write(file.path(), text).unwrap();
                let directory = meshtrail_identity::DirectoryFile::open(file.path()).unwrap();
                let config =
                    meshtrail_identity::ResolverConfig { directory: Some(directory), ..Default::default() };
                Resolver::start(config)
            }
            None => Resolver::knowing_nobody(),
        };
        let header = header(json);
        let mut portrait = Portrait::claimed(&opening(), &header, &Anomalies::default());
        let from = Connection::from_peer(opening().peer.parse().unwrap());
        portrait.resolve(&header, from, &resolver).await;
        portrait
    }

    const ALICE: &str = r#"{"version":2,"width":80,"height":24,"srcNode":"laptop.tail.example","srcNodeID":"n7",
        "srcNodeUser":"alice@example.com","localUser":"root","sshUser":"root"}"#;

    #[tokio::test]
    async fn a_claim_that_nobody_can_check_is_self_reported() {
        let portrait = portrait(ALICE, None).await;
        assert_eq!(portrait.identity.status, IdentityStatus::SelfReported);
        assert_eq!(portrait.actor.label().as_deref(), Some("alice@example.com"));
        assert_eq!(portrait.target.address.as_deref(), Some("100.64.0.9"));
        assert_eq!(portrait.target.account.as_deref(), Some("root"));
    }

    #[tokio::test]
    async fn a_header_that_names_nobody_is_unresolved() {
        let portrait = portrait(r#"{"version":2,"width":0,"height":0}"#, None).await;
        assert_eq!(portrait.identity.status, IdentityStatus::Unresolved);
        assert!(portrait.facts.not_seen.contains(&"stderr of commands without a terminal".to_owned()));
        assert_eq!(portrait.actor, Actor::default());
    }

    #[tokio::test]
    async fn a_clock_that_is_off_is_noted() {
        let portrait = portrait(r#"{"version":2,"timestamp":1767225000}"#, None).await;
        assert_eq!(portrait.facts.anomalies, ["header.timestamp: the sender's clock is -600 s from ours"]);
    }
}
