//! Queries all providers about an address, and reports when they disagree.
//!
//! - tailscaled is queried about the peers of connections that the mesh delivered: see [`Connection`]. Another peer with an
//!   address of the mesh is unresolved, whoever has that address.
//! - A connection of this machine itself resolves to the device, without a person.
//! - tailscaled is never queried about addresses outside the mesh, unless a setting says so: a miss blocks all of
//!   tailscaled for a while.
//! - An answer about an address is cached for [`ResolverConfig::known_ttl`]. One about a loopback port is not cached: it is
//!   about a single connection.
//! - A negative answer is cached for [`ResolverConfig::unknown_ttl`], so that a flood from unknown peers causes few queries.
//! - An address that neither tailscaled nor the directory knows is looked up in the history of the trail. Access is never
//!   granted on that: see [`Resolution::is_certain`].
//! - [`Resolver::who`] always answers, at the latest after [`ResolverConfig::total_timeout`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_event::{Claim, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::answer_cache::AnswerCache;
use crate::claim::{ClaimCheck, Devices, verdict};
use crate::connection::{Connection, Ingress, classify, is_of_this_machine};
use crate::directory::DirectoryFile;
use crate::history::{DeviceAsOf, History};
use crate::local_api::{DEFAULT_TIMEOUT, LocalApi, Peers, is_tailnet_address};
use crate::loopback::owner_of;
use crate::own_node::{self, Membership, NodeChannels, OwnNode};
use crate::resolution::{Account, Resolution, ResolutionStatus, Unresolved};
use crate::subject::{Contradiction, Owner, Provider, Subject};

/// The most concurrent queries to tailscaled; further ones wait.
const MAX_QUERIES: usize = 16;

/// The most cached addresses.
const MAX_ADDRESSES: usize = 8192;

/// The addresses that tailscaled is queried about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryScope {
    /// Tailnet addresses, and loopback ones of connections that a userspace tailscaled forwards.
    #[default]
    Mesh,
    /// All addresses, for a tailnet with custom prefixes.
    Anything,
}

/// The providers, and how long their answers are cached.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// tailscaled's socket, if there is a tailscaled.
    pub socket: Option<PathBuf>,
    /// The directory file, if there is one.
    pub directory: Option<DirectoryFile>,
    /// The history of the trail's events, which is queried last.
    pub history: History,
    /// The addresses that tailscaled is queried about.
    pub query_scope: QueryScope,
    /// The timeout of one query to tailscaled.
    pub timeout: Duration,
    /// The timeout of a resolution, including the wait for a permit to query tailscaled.
    pub total_timeout: Duration,
    /// How long an answer is cached.
    pub known_ttl: Duration,
    /// How long a negative answer or an error is cached.
    pub unknown_ttl: Duration,
    /// The interval at which this machine's own node is polled.
    pub poll_interval: Duration,
}

impl Default for ResolverConfig {
    fn default() -> ResolverConfig {
        ResolverConfig {
            socket: None,
            directory: None,
            history: History::new(),
            query_scope: QueryScope::Mesh,
            timeout: DEFAULT_TIMEOUT,
            total_timeout: DEFAULT_TIMEOUT + Duration::from_secs(1),
            known_ttl: Duration::from_secs(10),
            unknown_ttl: Duration::from_secs(1),
            poll_interval: Duration::from_secs(5),
        }
    }
}

/// Resolves addresses to people and devices. A clone shares everything.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    local_api: Option<LocalApi>,
    directory: Option<DirectoryFile>,
    config: ResolverConfig,
    query_permits: Semaphore,
    by_address: AnswerCache<SocketAddr, WhoisAnswer>,
    devices: AnswerCache<(), Result<Arc<Devices>, String>>,
    own_node: watch::Receiver<OwnNode>,
    listen_on: watch::Receiver<Vec<IpAddr>>,
    membership: watch::Receiver<Option<Membership>>,
}

/// It is unknown how the mesh delivers connections to this machine.
struct UnknownIngress {
    reason: Arc<str>,
}

/// tailscaled's answer about one address.
#[derive(Clone)]
enum WhoisAnswer {
    Known { subject: Arc<Subject>, as_of: Timestamp },
    Unknown { as_of: Timestamp },
    Failed { reason: Arc<str>, as_of: Timestamp },
}

impl Resolver {
    /// Starts a resolver. With a socket it spawns a task that follows this machine's own node and ends with the last clone.
    /// Must be called within a tokio runtime.
    pub fn start(config: ResolverConfig) -> Resolver {
        let local_api =
            config.socket.clone().map(|socket| LocalApi::new(socket).with_timeout(config.timeout));
        let (node_sender, own_node) = watch::channel(OwnNode::Unasked);
        let (listen_sender, listen_on) = watch::channel(Vec::new());
        let (membership_sender, membership) = watch::channel(None);
        if let Some(local_api) = local_api.clone() {
            let channels =
                NodeChannels { node: node_sender, listen_on: listen_sender, membership: membership_sender };
            tokio::spawn(own_node::follow(local_api, config.poll_interval, channels));
        }
        let shared = Shared {
            local_api,
            directory: config.directory.clone(),
            config,
            query_permits: Semaphore::new(MAX_QUERIES),
            by_address: AnswerCache::new(MAX_ADDRESSES),
            devices: AnswerCache::new(2),
            own_node,
            listen_on,
            membership,
        };
        Resolver { shared: Arc::new(shared) }
    }

    /// A resolver without providers: every address is unresolved.
    pub fn without_providers() -> Resolver {
        Resolver::start(ResolverConfig::default())
    }

    /// Resolves the peer of an open TCP connection.
    pub async fn who(&self, connection: Connection) -> Resolution {
        let connection = connection.canonical();
        let peer = connection.peer;
        let until = Instant::now() + self.shared.config.total_timeout;
        let mut ingress = match timeout_at(until, self.ingress(connection)).await {
            Ok(ingress) => ingress,
            Err(_elapsed) => Err(UnknownIngress { reason: "it has not told of this node yet".into() }),
        };
        if matches!(ingress, Ok(Ingress::Mesh))
            && peer.ip().is_loopback()
            && self.is_of_another_user(connection).await
        {
            ingress = Ok(Ingress::OwnMachine);
        }
        let answer = match &ingress {
            Ok(Ingress::Mesh) => self.query_local_api(peer, until).await,
            Ok(Ingress::OwnMachine) if self.may_be_in_mesh(peer.ip()) => {
                self.query_local_api(peer, until).await
            }
            Ok(Ingress::AroundTheMesh) => {
                return Resolution::unresolved(Unresolved::AroundTheMesh, Timestamp::now());
            }
            Ok(Ingress::OwnMachine | Ingress::Elsewhere) => None,
            Err(UnknownIngress { reason }) => {
                Some(WhoisAnswer::Failed { reason: reason.clone(), as_of: Timestamp::now() })
            }
        };
        let is_own_machine = match (&ingress, &answer) {
            (Ok(Ingress::OwnMachine), _) => true,
            // A userspace tailscaled forwards connections that a local program opened through its proxy.
            (Ok(Ingress::Mesh), Some(WhoisAnswer::Known { subject, .. })) => self.is_this_node(subject),
            _ => false,
        };
        let found = self.combine(peer.ip(), answer);
        if is_own_machine { found.of_own_machine() } else { found }
    }

    /// Resolves the current holder of `address`. The peer of a connection from there may be somebody else, so never grant
    /// access on this: use [`Resolver::who`].
    pub async fn holder(&self, address: IpAddr) -> Resolution {
        let address = address.to_canonical();
        let answer = if self.may_be_in_mesh(address) && !address.is_loopback() {
            let until = Instant::now() + self.shared.config.total_timeout;
            self.query_local_api(SocketAddr::new(address, 0), until).await
        } else {
            None
        };
        self.combine(address, answer)
    }

    /// Combines the accounts of all providers: the first one's, with the contradictions of the others.
    fn combine(&self, address: IpAddr, answer: Option<WhoisAnswer>) -> Resolution {
        let directory = self.shared.directory.as_ref().map(DirectoryFile::current);
        let now = Timestamp::now();
        let listed = directory.as_ref().and_then(|directory| directory.by_address(address));

        let mut accounts = Vec::with_capacity(2);
        if let Some(WhoisAnswer::Known { subject, as_of }) = &answer {
            accounts.push(Account { subject, provider: Provider::LocalApi, as_of: *as_of });
        }
        if let Some(subject) = listed {
            accounts.push(Account { subject, provider: Provider::Directory, as_of: now });
        }
        let Some((&first, others)) = accounts.split_first() else {
            if let Some(known) = self.shared.config.history.at(address, now) {
                return from_history(&known);
            }
            let (why, as_of) = self.unresolved_reason(answer, now);
            return Resolution::unresolved(why, as_of);
        };
        let what = others.iter().flat_map(|other| first.subject.contradictions(other.subject)).collect();
        let login = first.subject.owner.as_ref().map(|owner| &owner.login);
        let groups = directory.as_ref().zip(login).map(|(directory, login)| directory.groups_of(login));
        Resolution::of(first, groups.unwrap_or_default(), what)
    }

    /// Checks a claim about a device and its owner with all providers; one that contradicts outweighs one that agrees.
    pub async fn claim(&self, claim: &Claim) -> ClaimCheck {
        let checks = [self.check_with_local_api(claim).await, self.check_in_directory(claim)];
        let weight = |check: &ClaimCheck| match check {
            ClaimCheck::Conflicts { .. } => 0,
            ClaimCheck::Agrees { .. } => 1,
            ClaimCheck::Unknown { .. } => 2,
        };
        // `min_by_key` returns the first of equals: the provider that is queried first.
        let mut check = checks
            .into_iter()
            .flatten()
            .min_by_key(weight)
            .unwrap_or_else(|| ClaimCheck::Unknown { why: Unresolved::NoProvider.to_string() });
        if matches!(check, ClaimCheck::Unknown { .. })
            && let Some(from_history) = self.check_in_history(claim)
        {
            check = from_history;
        }
        let directory = self.shared.directory.as_ref().map(DirectoryFile::current);
        if let (Some(directory), Some(owner)) = (directory, check.owner_mut()) {
            let groups = directory.groups_of(&owner.login);
            owner.groups.extend(groups);
        }
        check
    }

    /// This machine's own node, now and at each change. Without a socket it stays [`OwnNode::Unasked`].
    pub fn own_node(&self) -> watch::Receiver<OwnNode> {
        self.shared.own_node.clone()
    }

    /// The addresses to listen on to be reachable at the node's own addresses: empty until the node is up for the first time,
    /// then changed only when the addresses do. While tailscaled is away, the last ones stay.
    pub fn own_addresses(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.shared.listen_on.clone()
    }

    /// The directory file in use, if any.
    pub fn directory(&self) -> Option<&DirectoryFile> {
        self.shared.directory.as_ref()
    }

    /// The ingress of a connection; an error if it may be one of the mesh, and the node's state is not known yet.
    async fn ingress(&self, connection: Connection) -> Result<Ingress, UnknownIngress> {
        let peer = connection.peer.ip();
        if self.shared.local_api.is_some() {
            let mut node = self.shared.own_node.clone();
            // The first status is requested at start. The sender lives as long as this resolver.
            let _first_status = node.wait_for(|node| *node != OwnNode::Unasked).await;
        }
        if let Some(membership) = &*self.shared.membership.borrow() {
            let in_mesh = |address| self.may_be_in_mesh(address);
            return Ok(classify(connection, membership, in_mesh, is_of_this_machine));
        }
        if !peer.is_loopback() && is_of_this_machine(peer) {
            return Ok(Ingress::OwnMachine);
        }
        if self.shared.local_api.is_none() || !(peer.is_loopback() || self.may_be_in_mesh(peer)) {
            return Ok(Ingress::Elsewhere);
        }
        let reason = match &*self.shared.own_node.borrow() {
            OwnNode::Unreachable { why } => why.as_str().into(),
            OwnNode::Down { state } => format!("this node is not up: {state:?}").into(),
            OwnNode::Unasked | OwnNode::Running { .. } => "it has not told of this node yet".into(),
        };
        Err(UnknownIngress { reason })
    }

    /// Whether the far socket of a loopback connection belongs to another user than tailscaled's, so that tailscaled did not
    /// forward it. False if that can't be determined: then tailscaled's answer decides.
    async fn is_of_another_user(&self, connection: Connection) -> bool {
        let Some((local_api, local)) = self.shared.local_api.as_ref().zip(connection.local) else {
            return false;
        };
        let peer = connection.peer;
        let owner = tokio::task::spawn_blocking(move || owner_of(peer, local)).await;
        match (owner, local_api.daemon_uid().await) {
            (Ok(Some(owner)), Ok(tailscaled)) => owner != tailscaled,
            _ => false,
        }
    }

    /// tailscaled's answer about `peer`; none without a tailscaled.
    async fn query_local_api(&self, peer: SocketAddr, until: Instant) -> Option<WhoisAnswer> {
        let local_api = self.shared.local_api.as_ref()?;
        let key = if peer.ip().is_loopback() { peer } else { SocketAddr::new(peer.ip(), 0) };
        let query = self.shared.by_address.get_or_query(key, async || self.query_now(local_api, peer).await);
        match timeout_at(until, query).await {
            Ok(answer) => Some(answer),
            Err(_elapsed) => {
                let reason = "too many questions are waiting".into();
                Some(WhoisAnswer::Failed { reason, as_of: Timestamp::now() })
            }
        }
    }

    async fn query_now(&self, local_api: &LocalApi, peer: SocketAddr) -> (WhoisAnswer, Duration) {
        let config = &self.shared.config;
        let _permit = self.shared.query_permits.acquire().await.expect("the semaphore is never closed");
        let answer = local_api.whois(peer).await;
        let as_of = Timestamp::now();
        match answer {
            Ok(Some(whois)) => {
                let ttl = if peer.ip().is_loopback() { Duration::ZERO } else { config.known_ttl };
                (WhoisAnswer::Known { subject: Arc::new(whois.subject()), as_of }, ttl)
            }
            Ok(None) => (WhoisAnswer::Unknown { as_of }, config.unknown_ttl),
            Err(error) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "whois failed");
                (WhoisAnswer::Failed { reason: error.to_string().into(), as_of }, config.unknown_ttl)
            }
        }
    }

    /// Whether `address` may be one that the mesh assigns to its nodes.
    fn may_be_in_mesh(&self, address: IpAddr) -> bool {
        is_tailnet_address(address) || self.shared.config.query_scope == QueryScope::Anything
    }

    /// Whether `subject` is this machine's own node.
    fn is_this_node(&self, subject: &Subject) -> bool {
        let membership = self.shared.membership.borrow();
        membership.as_ref().is_some_and(|node| {
            let same_id = node.id.is_some() && node.id == subject.stable_id;
            same_id || subject.addresses.iter().any(|address| node.addresses.contains(address))
        })
    }

    fn unresolved_reason(&self, answer: Option<WhoisAnswer>, now: Timestamp) -> (Unresolved, Timestamp) {
        match answer {
            Some(WhoisAnswer::Failed { reason, as_of }) => {
                (Unresolved::Failed { reason: reason.to_string() }, as_of)
            }
            Some(WhoisAnswer::Unknown { as_of } | WhoisAnswer::Known { as_of, .. }) => {
                (Unresolved::Unknown, as_of)
            }
            None if self.shared.local_api.is_some() => (Unresolved::Outside, now),
            None if self.shared.directory.is_some() => (Unresolved::Unknown, now),
            None => (Unresolved::NoProvider, now),
        }
    }

    /// None without a tailscaled.
    async fn check_with_local_api(&self, claim: &Claim) -> Option<ClaimCheck> {
        Some(match self.devices().await? {
            Ok(devices) => match devices.find(claim) {
                Some(known) => verdict(claim, known, Provider::LocalApi, devices.as_of),
                None => unknown_device(),
            },
            Err(reason) => ClaimCheck::Unknown { why: Unresolved::Failed { reason }.to_string() },
        })
    }

    /// None without a directory.
    fn check_in_directory(&self, claim: &Claim) -> Option<ClaimCheck> {
        let directory = self.shared.directory.as_ref().map(DirectoryFile::current)?;
        let by_id = claim.node_id.as_deref().and_then(|id| directory.by_id(id));
        let known = by_id.or_else(|| claim.node.as_deref().and_then(|name| directory.by_name(name)));
        let verdict = |known| verdict(claim, known, Provider::Directory, Timestamp::now());
        Some(known.map_or_else(unknown_device, verdict))
    }

    /// None if no event is about the device.
    fn check_in_history(&self, claim: &Claim) -> Option<ClaimCheck> {
        let (history, now) = (&self.shared.config.history, Timestamp::now());
        let by_id = claim.node_id.as_deref().and_then(|id| history.device(id, now));
        let known = by_id.or_else(|| match &history.devices_by_name(claim.node.as_deref()?, now)[..] {
            [one] => Some(one.clone()),
            _ => None,
        })?;
        Some(verdict(claim, &subject_of(&known), Provider::History, known.as_of))
    }

    /// Every device tailscaled knows of; none without a tailscaled.
    async fn devices(&self) -> Option<Result<Arc<Devices>, String>> {
        let local_api = self.shared.local_api.as_ref()?;
        let config = &self.shared.config;
        let query =
            self.shared.devices.get_or_query((), async || match local_api.status(Peers::Listed).await {
                Ok(status) => {
                    (Ok(Arc::new(Devices::from_status(&status, Timestamp::now()))), config.known_ttl)
                }
                Err(error) => (Err(error.to_string()), config.unknown_ttl),
            });
        let answer = tokio::time::timeout(config.total_timeout, query).await;
        Some(answer.unwrap_or_else(|_elapsed| Err("too many questions are waiting".to_owned())))
    }
}

/// The last known state of a device, from the trail's events.
fn from_history(known: &DeviceAsOf) -> Resolution {
    let subject = subject_of(known);
    let account = Account { subject: &subject, provider: Provider::History, as_of: known.as_of };
    let mut resolution = Resolution::of(account, std::collections::BTreeSet::new(), Vec::new());
    if let Some(conflict) = &known.conflict {
        let what =
            Contradiction { what: "history", one: known.facts().owner_label(), other: conflict.to_string() };
        resolution.status = ResolutionStatus::Conflicting { what: vec![what] };
    }
    resolution
}

fn subject_of(known: &DeviceAsOf) -> Subject {
    let (facts, device) = (known.facts(), known.device());
    Subject {
        name: device.name.clone(),
        stable_id: device.id.clone(),
        addresses: facts.addresses.to_vec(),
        os: device.os.clone(),
        owner: known.person().map(|person| Owner {
            id: person.id.clone(),
            login: person.login.clone(),
            display_name: person.name.clone(),
            groups: person.groups.iter().cloned().collect(),
        }),
        tags: device.tags.iter().cloned().collect(),
    }
}

fn unknown_device() -> ClaimCheck {
    ClaimCheck::Unknown { why: "no provider knows this device".to_owned() }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
