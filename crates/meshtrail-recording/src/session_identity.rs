//! Who opened a session on what target: from the header, the peer's address and the directory.
//!
//! The peer is the node that records; only its address is verified. The person is a claim of that node in the header. A
//! provider that knows the claimed device confirms or contradicts the claim. Where they differ, both are recorded. What
//! no provider knows is left out, never guessed.

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

/// The protocol of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A shell or command over SSH.
    Ssh,
    /// `exec` or `attach` through the Kubernetes API proxy.
    Kube,
}

/// A session without its bytes and its end: parties, identity and facts, as its events record them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SessionIdentity {
    pub(crate) kind: SessionKind,
    pub(crate) session: SessionId,
    pub(crate) actor: Actor,
    pub(crate) target: Target,
    pub(crate) identity: Identity,
    pub(crate) facts: SessionFacts,
}

/// The clock difference above which an anomaly is noted.
const CLOCK_TOLERANCE_SECONDS: i64 = 60;

impl SessionIdentity {
    /// A session without a header: only the opening is known.
    pub(crate) fn from_opening(opening: &Opening) -> Self {
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

    /// A session by its header, before any provider has checked the header's claim.
    pub(crate) fn from_header(opening: &Opening, header: &Header, anomalies: &Anomalies) -> Self {
        let mut session = Self::from_opening(opening);
        let claim = claim_of(header);
        session.kind = if header.kubernetes.is_some() { SessionKind::Kube } else { SessionKind::Ssh };
        session.actor = actor_from_header(header);
        session.identity = unconfirmed_identity(&claim, "nobody was asked");
        session.set_facts(opening, header);
        session.add_anomalies(anomalies);
        session
    }

    /// Resolves the recording node by its address, and checks the header's claim.
    pub(crate) async fn resolve(&mut self, header: &Header, from: Connection, resolver: &Resolver) {
        let claim = claim_of(header);
        self.set_recording_node(&resolver.who(from).await);
        if claim != Claim::default() {
            self.apply_check(claim.clone(), resolver.claim(&claim).await);
        }
    }

    fn set_recording_node(&mut self, node: &Resolution) {
        let device = node.device.clone().filter(|device| !device.is_empty());
        self.facts.recorded_by = device.as_ref().and_then(|device| device.name.clone());
        if self.kind == SessionKind::Ssh && device.is_some() {
            self.target.device = device.map(Arc::new);
            self.target.address = None;
        }
    }

    fn apply_check(&mut self, claim: Claim, check: ClaimCheck) {
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
                    ..Identity::default()
                };
            }
            ClaimCheck::Unknown { why } => self.identity = unconfirmed_identity(&claim, &why),
        }
    }

    fn set_facts(&mut self, opening: &Opening, header: &Header) {
        let Self { target, facts, kind, .. } = self;
        facts.command = header.command.clone();
        facts.connection = header.connection_id.clone();
        facts.requested_user = header.ssh_user.clone();
        facts.terminal = header.term.clone().filter(|_| header.has_terminal());
        facts.width = Some(header.width).filter(|_| header.has_terminal());
        facts.height = Some(header.height).filter(|_| header.has_terminal());
        facts.not_seen = list_not_seen(*kind, header.has_terminal());
        target.account = header.local_user.clone();
        if let Some(kubernetes) = &header.kubernetes {
            target.of_type = Some("pod".into());
            target.name = non_empty(&kubernetes.pod);
            target.namespace = non_empty(&kubernetes.namespace);
            target.container = non_empty(&kubernetes.container);
        }
        if let Some(theirs) = header.timestamp {
            let difference = theirs.saturating_sub(opening.started.as_seconds());
            if difference.abs() > CLOCK_TOLERANCE_SECONDS {
                facts
                    .anomalies
                    .push(format!("header.timestamp: the sender's clock is {difference} s from ours"));
            }
        }
    }

    /// Adds the stream's anomalies in words, each once.
    pub(crate) fn add_anomalies(&mut self, anomalies: &Anomalies) {
        for anomaly in anomalies.iter() {
            let times = if anomaly.count > 1 { format!(", {} times", anomaly.count) } else { String::new() };
            let words = format!("line {}: {}{times}", anomaly.line, anomaly.detail);
            if !self.facts.anomalies.contains(&words) {
                self.facts.anomalies.push(words);
            }
        }
    }

    /// The event that records the start.
    pub(crate) fn start_event(&self) -> Draft {
        let kind = match self.kind {
            SessionKind::Ssh => Kind::SshSessionStarted,
            SessionKind::Kube => Kind::KubeSessionStarted,
        };
        let time = self.facts.started.unwrap_or_else(Timestamp::now);
        self.draft(kind, time, Outcome::Success)
    }

    /// The terminal event.
    pub(crate) fn terminal_event(&self, closing: &Closing) -> Draft {
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

    /// Sets the number of marks and the start event, which the terminal event refers to.
    pub(crate) fn set_marks(&mut self, marks: u64, started_event: Option<EventId>) {
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

/// The actor of a header's claim, the status of that identity, and the device that the claim came from.
pub(crate) async fn resolve_claim(
    header: &Header,
    from: Connection,
    resolver: &Resolver,
) -> (Actor, Identity, Option<Arc<Device>>) {
    let now = Timestamp::now();
    let id = SessionId::new(now, "claim", 0, 0).expect("the name is valid");
    let peer_text = from.peer.to_string();
    let opening = Opening { session: id, number: 0, started: now, peer: peer_text, protocol: String::new() };
    let mut session = SessionIdentity::from_header(&opening, header, &Anomalies::default());
    session.resolve(header, from, resolver).await;
    (session.actor, session.identity, session.target.device)
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The header's claim of who connected.
pub(crate) fn claim_of(header: &Header) -> Claim {
    Claim {
        login: header.src_node_user.clone(),
        node: header.src_node.clone(),
        node_id: header.src_node_id.clone(),
        tags: header.src_node_tags.clone(),
    }
}

fn actor_from_header(header: &Header) -> Actor {
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

fn unconfirmed_identity(claim: &Claim, why: &str) -> Identity {
    let claims_nothing = *claim == Claim::default();
    let reason = if claims_nothing { "the header names nobody" } else { why };
    Identity {
        provider: (!claims_nothing).then(|| "header".to_owned()),
        reason: Some(reason.to_owned()),
        status: if claims_nothing { IdentityStatus::Unresolved } else { IdentityStatus::SelfReported },
        ..Identity::default()
    }
}

/// The data that these clients do not send: its absence in a recording proves nothing.
fn list_not_seen(kind: SessionKind, terminal: bool) -> Vec<String> {
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

    async fn resolve(json: &str, directory: Option<&str>) -> SessionIdentity {
        let resolver = match directory {
            Some(text) => {
                let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
                std::fs::write(file.path(), text).unwrap();
                let directory = meshtrail_identity::DirectoryFile::open(file.path()).unwrap();
                let config =
                    meshtrail_identity::ResolverConfig { directory: Some(directory), ..Default::default() };
                Resolver::start(config)
            }
            None => Resolver::without_providers(),
        };
        let header = header(json);
        let mut session = SessionIdentity::from_header(&opening(), &header, &Anomalies::default());
        let from = Connection::from_peer(opening().peer.parse().unwrap());
        session.resolve(&header, from, &resolver).await;
        session
    }

    const ALICE: &str = r#"{"version":2,"width":80,"height":24,"srcNode":"laptop.tail.example","srcNodeID":"n7",
        "srcNodeUser":"alice@example.com","localUser":"root","sshUser":"root"}"#;

    #[tokio::test]
    async fn a_claim_that_nobody_can_check_is_self_reported() {
        let session = resolve(ALICE, None).await;
        assert_eq!(session.identity.status, IdentityStatus::SelfReported);
        assert_eq!(session.actor.label().as_deref(), Some("alice@example.com"));
        assert_eq!(session.target.address.as_deref(), Some("100.64.0.9"));
        assert_eq!(session.target.account.as_deref(), Some("root"));
    }

    #[tokio::test]
    async fn a_header_that_names_nobody_is_unresolved() {
        let session = resolve(r#"{"version":2,"width":0,"height":0}"#, None).await;
        assert_eq!(session.identity.status, IdentityStatus::Unresolved);
        assert!(session.facts.not_seen.contains(&"stderr of commands without a terminal".to_owned()));
        assert_eq!(session.actor, Actor::default());
    }

    #[tokio::test]
    async fn a_clock_that_is_off_is_noted() {
        let session = resolve(r#"{"version":2,"timestamp":1767225000}"#, None).await;
        assert_eq!(session.facts.anomalies, ["header.timestamp: the sender's clock is -600 s from ours"]);
    }
}
