//! Asks every provider who is behind an address, and tells when they disagree.
//!
//! - tailscaled is asked about the peers of connections that came by the mesh: see [`Connection`]. A peer from elsewhere
//!   with an address of the mesh is nobody, whoever has that address.
//! - A connection of this machine itself tells the device and no person.
//! - tailscaled is never asked about addresses outside the mesh, unless a setting says so: a miss holds up the whole of
//!   tailscaled for a while.
//! - An answer about an address is kept for [`ResolverConfig::keep_known`]. One about a loopback port is not kept:
//!   it belongs to a single connection.
//! - Not knowing is kept for [`ResolverConfig::keep_unknown`], so that a flood of strangers is a trickle at
//!   tailscaled.
//! - What neither tailscaled nor the file knows is looked up in the history of the trail, as of when it was told.
//!   Nobody is let in on that: see [`Resolution::is_certain`].
//! - [`Resolver::who`] always answers, at the latest after [`ResolverConfig::patience`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_event::{Claim, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::claim::{ClaimCheck, Devices, verdict};
use crate::connection::{Connection, Way, is_of_this_machine, way_of};
use crate::directory::DirectoryFile;
use crate::history::{History, Known};
use crate::kept::Kept;
use crate::local_api::{DEFAULT_TIMEOUT, LocalApi, Peers, is_tailnet_address};
use crate::loopback::owner_of;
use crate::own_node::{self, Findings, Membership, OwnNode};
use crate::resolution::{Account, Resolution, Standing, Unresolved};
use crate::subject::{Contradiction, Owner, Provider, Subject};

/// How many questions are with tailscaled at the same time; the others wait.
const AT_ONCE: usize = 16;

/// How many addresses are kept in mind.
const ADDRESSES: usize = 8192;

/// About which addresses tailscaled is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskAbout {
    /// Tailnet addresses, and loopback ones of connections that a userspace tailscaled forwards.
    #[default]
    Mesh,
    /// Any address, by whichever way the mesh brings connections: for a tailnet with prefixes of its own.
    Anything,
}

/// Whom to ask, and how long answers are kept.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// tailscaled's socket; none where there is no tailscaled.
    pub socket: Option<PathBuf>,
    /// The directory file; none where there is none.
    pub directory: Option<DirectoryFile>,
    /// What the trail's events told, asked last; an empty one knows nobody.
    pub history: History,
    /// About which addresses tailscaled is asked.
    pub ask_about: AskAbout,
    /// How long one question to tailscaled may take.
    pub timeout: Duration,
    /// How long an answer may take, waiting for a turn included.
    pub patience: Duration,
    /// How long an answer is kept.
    pub keep_known: Duration,
    /// How long not knowing, or not being able to ask, is kept.
    pub keep_unknown: Duration,
    /// How often this machine's own node is looked at.
    pub look_every: Duration,
}

impl Default for ResolverConfig {
    fn default() -> ResolverConfig {
        ResolverConfig {
            socket: None,
            directory: None,
            history: History::new(),
            ask_about: AskAbout::Mesh,
            timeout: DEFAULT_TIMEOUT,
            patience: DEFAULT_TIMEOUT + Duration::from_secs(1),
            keep_known: Duration::from_secs(10),
            keep_unknown: Duration::from_secs(1),
            look_every: Duration::from_secs(5),
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
    turns: Semaphore,
    by_address: Kept<SocketAddr, Told>,
    devices: Kept<(), Result<Arc<Devices>, String>>,
    own_node: watch::Receiver<OwnNode>,
    listen_on: watch::Receiver<Vec<IpAddr>>,
    membership: watch::Receiver<Option<Membership>>,
}

/// It is not known how the mesh brings connections to this machine.
struct NoWay {
    reason: Arc<str>,
}

/// What tailscaled told of one address.
#[derive(Clone)]
enum Told {
    Known { subject: Arc<Subject>, as_of: Timestamp },
    Unknown { as_of: Timestamp },
    Failed { reason: Arc<str>, as_of: Timestamp },
}

impl Resolver {
    /// Starts to resolve; with a socket, also to follow this machine's own node, in a task that ends with the last
    /// clone. Must be called within a tokio runtime.
    pub fn start(config: ResolverConfig) -> Resolver {
        let local_api =
            config.socket.clone().map(|socket| LocalApi::new(socket).with_timeout(config.timeout));
        let (node_sender, own_node) = watch::channel(OwnNode::Unasked);
        let (listen_sender, listen_on) = watch::channel(Vec::new());
        let (membership_sender, membership) = watch::channel(None);
        if let Some(local_api) = local_api.clone() {
            let findings =
                Findings { node: node_sender, listen_on: listen_sender, membership: membership_sender };
            tokio::spawn(own_node::follow(local_api, config.look_every, findings));
        }
        let shared = Shared {
            local_api,
            directory: config.directory.clone(),
            config,
            turns: Semaphore::new(AT_ONCE),
            by_address: Kept::new(ADDRESSES),
            devices: Kept::new(2),
            own_node,
            listen_on,
            membership,
        };
        Resolver { shared: Arc::new(shared) }
    }

    /// A resolver without any provider: everything is unresolved.
    pub fn knowing_nobody() -> Resolver {
        Resolver::start(ResolverConfig::default())
    }

    /// Who is at the far end of a TCP connection that is open now.
    pub async fn who(&self, connection: Connection) -> Resolution {
        let connection = connection.canonical();
        let peer = connection.peer;
        let until = Instant::now() + self.shared.config.patience;
        let mut way = match timeout_at(until, self.way(connection)).await {
            Ok(way) => way,
            Err(_elapsed) => Err(NoWay { reason: "it has not told of this node yet".into() }),
        };
        if matches!(way, Ok(Way::Mesh))
            && peer.ip().is_loopback()
            && self.is_of_another_user(connection).await
        {
            way = Ok(Way::OwnMachine);
        }
        let told = match &way {
            Ok(Way::Mesh) => self.ask_local_api(peer, until).await,
            Ok(Way::OwnMachine) if self.may_have(peer.ip()) => self.ask_local_api(peer, until).await,
            Ok(Way::AroundTheMesh) => {
                return Resolution::unresolved(Unresolved::AroundTheMesh, Timestamp::now());
            }
            Ok(Way::OwnMachine | Way::Elsewhere) => None,
            Err(NoWay { reason }) => Some(Told::Failed { reason: reason.clone(), as_of: Timestamp::now() }),
        };
        let is_own_machine = match (&way, &told) {
            (Ok(Way::OwnMachine), _) => true,
            // A userspace tailscaled forwards what a program here sent to the node by its proxy.
            (Ok(Way::Mesh), Some(Told::Known { subject, .. })) => self.is_this_node(subject),
            _ => false,
        };
        let found = self.put_together(peer.ip(), told);
        if is_own_machine { found.of_own_machine() } else { found }
    }

    /// Who has `address` now. It says nothing of who is at the far end of a connection from there, and so is no reason
    /// to let anybody in: ask [`Resolver::who`] about that.
    pub async fn holder(&self, address: IpAddr) -> Resolution {
        let address = address.to_canonical();
        let told = if self.may_have(address) && !address.is_loopback() {
            let until = Instant::now() + self.shared.config.patience;
            self.ask_local_api(SocketAddr::new(address, 0), until).await
        } else {
            None
        };
        self.put_together(address, told)
    }

    /// The accounts of all providers about one address, the first one's account with what the others say against it.
    fn put_together(&self, address: IpAddr, told: Option<Told>) -> Resolution {
        let directory = self.shared.directory.as_ref().map(DirectoryFile::current);
        let now = Timestamp::now();
        let listed = directory.as_ref().and_then(|directory| directory.by_address(address));

        let mut accounts = Vec::with_capacity(2);
        if let Some(Told::Known { subject, as_of }) = &told {
            accounts.push(Account { subject, provider: Provider::LocalApi, as_of: *as_of });
        }
        if let Some(subject) = listed {
            accounts.push(Account { subject, provider: Provider::Directory, as_of: now });
        }
        let Some((&first, others)) = accounts.split_first() else {
            if let Some(known) = self.shared.config.history.at(address, now) {
                return remembered(&known);
            }
            let (why, as_of) = self.nobody(told, now);
            return Resolution::unresolved(why, as_of);
        };
        let what = others.iter().flat_map(|other| first.subject.contradictions(other.subject)).collect();
        let login = first.subject.owner.as_ref().map(|owner| &owner.login);
        let groups = directory.as_ref().zip(login).map(|(directory, login)| directory.groups_of(login));
        Resolution::of(first, groups.unwrap_or_default(), what)
    }

    /// What the providers say of a claim about a device and whose it is. Every provider that knows the device is
    /// heard, and one that contradicts outweighs one that agrees.
    pub async fn claim(&self, claim: &Claim) -> ClaimCheck {
        let heard = [self.claim_at_local_api(claim).await, self.claim_in_directory(claim)];
        let weight = |check: &ClaimCheck| match check {
            ClaimCheck::Conflicts { .. } => 0,
            ClaimCheck::Agrees { .. } => 1,
            ClaimCheck::Unknown { .. } => 2,
        };
        // The first of equals is kept: the provider asked first.
        let mut check = heard
            .into_iter()
            .flatten()
            .min_by_key(weight)
            .unwrap_or_else(|| ClaimCheck::Unknown { why: Unresolved::NoProvider.to_string() });
        if matches!(check, ClaimCheck::Unknown { .. })
            && let Some(remembered) = self.claim_in_history(claim)
        {
            check = remembered;
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

    /// Where to listen to be reached at the node's own addresses: empty until the node is first up, then changed
    /// only when the addresses do. While tailscaled is away, the last ones stand.
    pub fn own_addresses(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.shared.listen_on.clone()
    }

    /// The directory file in use, if any.
    pub fn directory(&self) -> Option<&DirectoryFile> {
        self.shared.directory.as_ref()
    }

    /// By which way a connection came; an error while tailscaled has not told how the mesh brings them, if it could be
    /// one of the mesh.
    async fn way(&self, connection: Connection) -> Result<Way, NoWay> {
        let peer = connection.peer.ip();
        if self.shared.local_api.is_some() {
            let mut node = self.shared.own_node.clone();
            // The first look is under way from the start. The sender lives as long as this does.
            let _looked_at = node.wait_for(|node| *node != OwnNode::Unasked).await;
        }
        if let Some(membership) = &*self.shared.membership.borrow() {
            let in_mesh = |address| self.may_have(address);
            return Ok(way_of(connection, membership, in_mesh, is_of_this_machine));
        }
        if !peer.is_loopback() && is_of_this_machine(peer) {
            return Ok(Way::OwnMachine);
        }
        if self.shared.local_api.is_none() || !(peer.is_loopback() || self.may_have(peer)) {
            return Ok(Way::Elsewhere);
        }
        let reason = match &*self.shared.own_node.borrow() {
            OwnNode::Unreachable { why } => why.as_str().into(),
            OwnNode::Down { state } => format!("this node is not up: {state:?}").into(),
            OwnNode::Unasked | OwnNode::Running { .. } => "it has not told of this node yet".into(),
        };
        Err(NoWay { reason })
    }

    /// Whether the far end of a loopback connection is the socket of another user than tailscaled runs as, which then did
    /// not forward it. Where that can't be told, it is left to tailscaled to say whom it forwards.
    async fn is_of_another_user(&self, connection: Connection) -> bool {
        let Some((local_api, local)) = self.shared.local_api.as_ref().zip(connection.local) else {
            return false;
        };
        let peer = connection.peer;
        let owner = tokio::task::spawn_blocking(move || owner_of(peer, local)).await;
        match (owner, local_api.user().await) {
            (Ok(Some(owner)), Ok(tailscaled)) => owner != tailscaled,
            _ => false,
        }
    }

    /// What tailscaled tells of `peer`; none where there is no tailscaled.
    async fn ask_local_api(&self, peer: SocketAddr, until: Instant) -> Option<Told> {
        let local_api = self.shared.local_api.as_ref()?;
        let key = if peer.ip().is_loopback() { peer } else { SocketAddr::new(peer.ip(), 0) };
        let ask = self.shared.by_address.get_or_ask(key, async || self.ask_now(local_api, peer).await);
        match timeout_at(until, ask).await {
            Ok(told) => Some(told),
            Err(_elapsed) => {
                let reason = "too many questions are waiting".into();
                Some(Told::Failed { reason, as_of: Timestamp::now() })
            }
        }
    }

    async fn ask_now(&self, local_api: &LocalApi, peer: SocketAddr) -> (Told, Duration) {
        let config = &self.shared.config;
        let _turn = self.shared.turns.acquire().await.expect("the semaphore is never closed");
        let answer = local_api.whois(peer).await;
        let as_of = Timestamp::now();
        match answer {
            Ok(Some(whois)) => {
                let keep_for = if peer.ip().is_loopback() { Duration::ZERO } else { config.keep_known };
                (Told::Known { subject: Arc::new(whois.subject()), as_of }, keep_for)
            }
            Ok(None) => (Told::Unknown { as_of }, config.keep_unknown),
            Err(error) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "whois failed");
                (Told::Failed { reason: error.to_string().into(), as_of }, config.keep_unknown)
            }
        }
    }

    /// Whether `address` may be one that the mesh gives to its nodes.
    fn may_have(&self, address: IpAddr) -> bool {
        is_tailnet_address(address) || self.shared.config.ask_about == AskAbout::Anything
    }

    /// Whether `subject` is this machine's own node.
    fn is_this_node(&self, subject: &Subject) -> bool {
        let membership = self.shared.membership.borrow();
        membership.as_ref().is_some_and(|node| {
            let same_id = node.id.is_some() && node.id == subject.stable_id;
            same_id || subject.addresses.iter().any(|address| node.addresses.contains(address))
        })
    }

    fn nobody(&self, told: Option<Told>, now: Timestamp) -> (Unresolved, Timestamp) {
        match told {
            Some(Told::Failed { reason, as_of }) => {
                (Unresolved::Failed { reason: reason.to_string() }, as_of)
            }
            Some(Told::Unknown { as_of } | Told::Known { as_of, .. }) => (Unresolved::Unknown, as_of),
            None if self.shared.local_api.is_some() => (Unresolved::Outside, now),
            None if self.shared.directory.is_some() => (Unresolved::Unknown, now),
            None => (Unresolved::NoProvider, now),
        }
    }

    /// None without a tailscaled.
    async fn claim_at_local_api(&self, claim: &Claim) -> Option<ClaimCheck> {
        Some(match self.devices().await? {
            Ok(devices) => match devices.find(claim) {
                Some(known) => verdict(claim, known, Provider::LocalApi, devices.as_of),
                None => unknown_device(),
            },
            Err(reason) => ClaimCheck::Unknown { why: Unresolved::Failed { reason }.to_string() },
        })
    }

    /// None without a directory.
    fn claim_in_directory(&self, claim: &Claim) -> Option<ClaimCheck> {
        let directory = self.shared.directory.as_ref().map(DirectoryFile::current)?;
        let by_id = claim.node_id.as_deref().and_then(|id| directory.by_id(id));
        let known = by_id.or_else(|| claim.node.as_deref().and_then(|name| directory.by_name(name)));
        let verdict = |known| verdict(claim, known, Provider::Directory, Timestamp::now());
        Some(known.map_or_else(unknown_device, verdict))
    }

    /// None where no event told of the device.
    fn claim_in_history(&self, claim: &Claim) -> Option<ClaimCheck> {
        let (history, now) = (&self.shared.config.history, Timestamp::now());
        let by_id = claim.node_id.as_deref().and_then(|id| history.device(id, now));
        let known = by_id.or_else(|| match &history.named(claim.node.as_deref()?, now)[..] {
            [one] => Some(one.clone()),
            _ => None,
        })?;
        Some(verdict(claim, &subject_of(&known), Provider::History, known.as_of))
    }

    /// Every device tailscaled knows of; none without a tailscaled.
    async fn devices(&self) -> Option<Result<Arc<Devices>, String>> {
        let local_api = self.shared.local_api.as_ref()?;
        let config = &self.shared.config;
        let ask = self.shared.devices.get_or_ask((), async || match local_api.status(Peers::Listed).await {
            Ok(status) => (Ok(Arc::new(Devices::of_status(&status, Timestamp::now()))), config.keep_known),
            Err(error) => (Err(error.to_string()), config.keep_unknown),
        });
        let waited = tokio::time::timeout(config.patience, ask).await;
        Some(waited.unwrap_or_else(|_elapsed| Err("too many questions are waiting".to_owned())))
    }
}

/// A device and whose it was, when the trail was last told.
fn remembered(known: &Known) -> Resolution {
    let subject = subject_of(known);
    let account = Account { subject: &subject, provider: Provider::History, as_of: known.as_of };
    let mut resolution = Resolution::of(account, std::collections::BTreeSet::new(), Vec::new());
    if let Some(conflict) = &known.conflict {
        let what = Contradiction { what: "history", one: known.facts().whose(), other: conflict.to_string() };
        resolution.standing = Standing::Conflicting { what: vec![what] };
    }
    resolution
}

fn subject_of(known: &Known) -> Subject {
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
