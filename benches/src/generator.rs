//! Generated events of a mesh: the same seed gives the same events.
//!
//! People have a few devices each and working hours; servers have tags. Node agents report their connections'
//! counts every five seconds in one batch, so that most flows occur again in the next window with other counts. Ports
//! and sizes are distributed as on a real mesh: few well-known ports, many ephemeral ones, sizes over many magnitudes.
//!
//! Benchmarks of size, appending, sealing and proving use these windows. Benchmarks of queries over months and working
//! hours use `meshtrail_demo::SyntheticEvents`, which has no windows; their figures are not comparable.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use meshtrail_event::{
    Actor, Change, Detail, Device, Draft, Event, EventId, Flow, Identity, IdentityStatus, Json, Kind,
    KubeRequest, LogLine, Login, Mark, Outcome, Own, Person, SessionFacts, SessionId, SourceName, Target,
    Timestamp,
};

const SECOND: i64 = 1_000_000_000;
/// A Monday, 06:00 UTC.
const BEGIN: i64 = 1_763_359_200 * SECOND;
const WINDOW: i64 = 5 * SECOND;
const PEOPLE: usize = 80;
const SERVERS: usize = 60;

/// Events of all kinds, flows in the majority, in the order in which a server receives them.
pub fn events(seed: u64) -> impl Iterator<Item = Event> {
    Mesh::new(seed, Mix::Everything)
}

/// Flow records only.
pub fn flows(seed: u64) -> impl Iterator<Item = Event> {
    Mesh::new(seed, Mix::Flows)
}

/// Flow records with unresolved identities: the shortest frequent events.
pub fn brief_flows(seed: u64) -> impl Iterator<Item = Event> {
    Mesh::new(seed, Mix::BriefFlows)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mix {
    Everything,
    Flows,
    BriefFlows,
}

/// A small generator of random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.any() % end.max(1) as u64) as usize
    }

    /// A number between 0 and 1.
    pub fn fraction(&mut self) -> f64 {
        (self.any() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of `all`; the first ones are far more frequent than the last.
    pub fn favourite<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let place = (self.fraction().powi(3) * all.len() as f64) as usize;
        &all[place.min(all.len() - 1)]
    }

    /// A log-normal size around e^`middle`.
    fn size(&mut self, middle: f64, spread: f64) -> u64 {
        let normal: f64 = (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0;
        (middle + spread * normal).exp() as u64
    }
}

/// One device, its owner and its sender state.
struct Node {
    device: Arc<Device>,
    person: Option<Arc<Person>>,
    source: SourceName,
    sequence: u64,
    /// Hours by which its person's day is behind UTC.
    offset: i64,
    window: i64,
    connections: Vec<Connection>,
}

struct Connection {
    peer: usize,
    proto: u64,
    port: u16,
    to_port: u16,
    middle: f64,
}

struct Mesh {
    random: Random,
    nodes: Vec<Node>,
    /// The time of each node's next report.
    due: BinaryHeap<Reverse<(i64, usize)>>,
    ready: std::collections::VecDeque<Event>,
    mix: Mix,
    sessions: u64,
    recorder: u64,
    collector: u64,
}

impl Mesh {
    fn new(seed: u64, mix: Mix) -> Self {
        let mut random = Random::new(seed);
        let mut nodes = Vec::new();
        for number in 0..PEOPLE {
            for device in 0..1 + random.below(3) {
                nodes.push(laptop(&mut random, number, device, nodes.len()));
            }
        }
        for number in 0..SERVERS {
            nodes.push(server(&mut random, number, nodes.len()));
        }
        let mut due = BinaryHeap::new();
        for (number, node) in nodes.iter_mut().enumerate() {
            node.window = BEGIN + (random.fraction() * WINDOW as f64) as i64;
            due.push(Reverse((node.window + WINDOW, number)));
        }
        let ready = std::collections::VecDeque::new();
        Self { random, nodes, due, ready, mix, sessions: 0, recorder: 0, collector: 0 }
    }

    /// One node's next report, and other events of the same time.
    fn report(&mut self) {
        let Reverse((end, number)) = self.due.pop().expect("every node reports again");
        let start = self.nodes[number].window;
        let received = end + 20_000_000 + (self.random.fraction() * 180_000_000.0) as i64;
        self.churn(number, end);
        for connection in 0..self.nodes[number].connections.len() {
            // An idle connection has no counts in this window.
            if self.random.fraction() < 0.7 {
                let event = self.flow(number, connection, (start, end), received);
                self.ready.push_back(event);
                if self.mix == Mix::Everything && self.random.fraction() < 0.55 {
                    self.other_event(received);
                }
            }
        }
        self.nodes[number].window = end;
        self.due.push(Reverse((end + WINDOW + (self.random.fraction() * 3_000_000.0) as i64, number)));
    }

    /// Opens and closes connections: more in working hours, always some between servers.
    fn churn(&mut self, number: usize, now: i64) {
        let nodes = self.nodes.len();
        let node = &mut self.nodes[number];
        let hour = ((now / SECOND / 3600 - node.offset) % 24) as f64;
        let works = (9.0..18.0).contains(&hour);
        let wanted = match (&node.person, works) {
            (Some(_), true) => 9,
            (Some(_), false) => 1,
            (None, _) => 5,
        };
        node.connections.retain(|_| self.random.fraction() > 0.06);
        while node.connections.len() < wanted {
            let servers: Vec<usize> = (nodes - SERVERS..nodes).collect();
            let (proto, to_port, middle) = *self.random.favourite(&[
                (6, 443, 8.5),
                (6, 5432, 7.0),
                (17, 53, 4.5),
                (6, 22, 6.5),
                (6, 9100, 7.5),
                (6, 6443, 7.2),
                (6, 8080, 8.0),
                (17, 41_641, 9.0),
                (6, 3306, 7.0),
                (6, 6379, 5.0),
                (1, 0, 4.4),
            ]);
            let port = if proto == 1 { 0 } else { 32_768 + self.random.below(28_232) as u16 };
            let peer = *self.random.favourite(&servers);
            node.connections.push(Connection { peer, proto, port, to_port, middle });
        }
    }

    fn flow(&mut self, number: usize, connection: usize, window: (i64, i64), received: i64) -> Event {
        let node = &self.nodes[number];
        let Connection { peer, proto, port, to_port, middle } = node.connections[connection];
        let (sent, got) = (self.random.size(middle, 1.2), self.random.size(middle + 1.0, 1.6));
        let packets = |bytes: u64| 1 + bytes / 900;
        let address = |device: &Device, port: u16| format!("{}:{port}", device.addresses[0]);
        let peer = &self.nodes[peer].device;
        let flow = Flow {
            dst: Some(address(peer, to_port)),
            dst_node: peer.id.clone(),
            end: Some(Timestamp::from_nanos(window.1)),
            layer: Some("virtual".to_owned()),
            proto: Some(proto),
            reporter: node.device.id.clone(),
            rx_bytes: Some(got + 60),
            rx_packets: Some(packets(got)),
            src: Some(address(&node.device, port)),
            src_node: node.device.id.clone(),
            start: Some(Timestamp::from_nanos(window.0)),
            tx_bytes: Some(sent + 60),
            tx_packets: Some(packets(sent)),
            ..Flow::default()
        };
        let mut draft = Draft::new(Kind::FlowCounted, Timestamp::from_nanos(window.1));
        draft.detail = Some(Detail::Flow(Box::new(flow)));
        if self.mix == Mix::BriefFlows {
            return self.event_of_node(number, draft, received);
        }
        draft.actor.device = Some(
            Device { id: node.device.id.clone(), name: node.device.name.clone(), ..Device::default() }.into(),
        );
        draft.actor.person = node
            .person
            .as_ref()
            .map(|person| Person { login: person.login.clone(), ..Person::default() }.into());
        draft.identity = Identity {
            as_of: Some(Timestamp::from_nanos(BEGIN + (window.1 - BEGIN) / (30 * SECOND) * (30 * SECOND))),
            provider: Some("directory".to_owned()),
            status: IdentityStatus::Resolved,
            ..Identity::default()
        };
        self.event_of_node(number, draft, received)
    }

    fn event_of_node(&mut self, number: usize, draft: Draft, received: i64) -> Event {
        let node = &mut self.nodes[number];
        node.sequence += 1;
        let id = EventId { source: node.source.clone(), epoch: 1, sequence: node.sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }

    fn event_of_server(&mut self, source: &str, sequence: u64, draft: Draft, received: i64) -> Event {
        let source = source.parse().expect("a name written here");
        draft.into_event(EventId { source, epoch: 3, sequence }, Timestamp::from_nanos(received))
    }

    fn other_event(&mut self, now: i64) {
        let laptops = self.nodes.len() - SERVERS;
        let from = self.random.below(laptops);
        let to = laptops + self.random.below(SERVERS);
        let time = now - self.random.below(9_000_000) as i64;
        match self.random.below(100) {
            0..45 => self.kube(from, to, time, now),
            45..72 => self.log(from, time, now),
            72..84 => self.login(from, to, time, now),
            84..90 => self.session(from, to, time, now),
            90..96 => self.own(from, time, now),
            _ => self.change(from, to, time, now),
        }
    }

    fn draft(&self, kind: Kind, from: usize, time: i64) -> Draft {
        let node = &self.nodes[from];
        let mut draft = Draft::new(kind, Timestamp::from_nanos(time));
        draft.actor =
            Actor { device: Some(node.device.clone()), person: node.person.clone(), ..Actor::default() };
        draft.identity = Identity {
            as_of: Some(Timestamp::from_nanos(time)),
            provider: Some("localapi".to_owned()),
            status: IdentityStatus::Resolved,
            ..Identity::default()
        };
        draft
    }

    fn target(&self, to: usize) -> Target {
        let device = Device { addresses: Vec::new(), ..Device::clone(&self.nodes[to].device) };
        Target { device: Some(device.into()), ..Target::default() }
    }

    fn kube(&mut self, from: usize, to: usize, time: i64, now: i64) {
        let verb = *self.random.favourite(&["list", "get", "watch", "patch", "create", "delete"]);
        let resource =
            *self.random.favourite(&["pods", "deployments", "events", "secrets", "nodes", "services"]);
        let namespace = *self.random.favourite(&["default", "payments", "kube-system", "search", "billing"]);
        let mut draft = self.draft(Kind::KubeRequestDone, from, time);
        draft.target = self.target(to);
        draft.target.namespace = Some(namespace.to_owned());
        draft.target.of_type = Some(resource.to_owned());
        let name = format!("{resource}-{:x}", self.random.below(400));
        draft.target.name = Some(name.clone());
        let denied = self.random.below(40) == 0;
        draft.outcome = if denied { Outcome::Denied } else { Outcome::Success };
        let latency = self.random.size(15.5, 0.8);
        draft.detail = Some(Detail::Kube(Box::new(KubeRequest {
            api_version: Some("v1".to_owned()),
            latency: Some(latency),
            method: Some(if verb == "get" { "GET" } else { "POST" }.to_owned()),
            path: Some(format!("/api/v1/namespaces/{namespace}/{resource}/{name}")),
            resource: Some(resource.to_owned()),
            status: Some(if denied { 403 } else { 200 }),
            user_agent: Some("kubectl/v1.32.2 (linux/amd64) kubernetes/67a30c0".to_owned()),
            verb: Some(verb.to_owned()),
            ..KubeRequest::default()
        })));
        let event = self.event_of_node(to, draft, now);
        self.ready.push_back(event);
    }

    fn log(&mut self, from: usize, time: i64, now: i64) {
        let peer = self.random.below(self.nodes.len());
        let peer = self.nodes[peer].device.id.clone().unwrap_or_default();
        let (a, b) = (self.random.below(65_536), self.random.fraction() * 80.0);
        let text = match self.random.below(4) {
            0 => format!(
                "magicsock: disco: node [{peer}] now using 192.168.{}.{}:{a} mtu=1360",
                a % 256,
                a / 256
            ),
            1 => format!(
                "netcheck: report: udp=true v6=false mapvarydest=false portmap= derp={} derpdist={b:.3}ms",
                a % 25
            ),
            2 => format!(
                "control: netmap: self [{peer}] auth=machine-authorized u=user{} [{}]",
                a % 80,
                a % 300
            ),
            _ => format!(
                "wgengine: Reconfig: configuring userspace WireGuard config (with {}/{} peers)",
                a % 20,
                a % 300
            ),
        };
        let mut draft = self.draft(Kind::LogLine, from, time);
        draft.actor.person = None;
        let line = LogLine {
            collection: Some("tailnode.log.tailscale.io".to_owned()),
            text: Some(text),
            ..LogLine::default()
        };
        draft.detail = Some(Detail::Log(Box::new(line)));
        let event = self.event_of_node(from, draft, now);
        self.ready.push_back(event);
    }

    fn login(&mut self, from: usize, to: usize, time: i64, now: i64) {
        let fails = self.random.below(15) == 0;
        let kind = if self.random.below(2) == 0 { Kind::SshLogin } else { Kind::SshLogout };
        let mut draft = self.draft(kind, from, time);
        draft.target = self.target(to);
        draft.target.account =
            Some((*self.random.favourite(&["root", "deploy", "ubuntu", "postgres"])).to_owned());
        draft.outcome = if fails { Outcome::Failure } else { Outcome::Success };
        let login = Login {
            method: Some("publickey".to_owned()),
            pid: Some(1000 + self.random.below(3_000_000) as u64),
            peer: Some(format!(
                "{}:{}",
                self.nodes[from].device.addresses[0],
                32_768 + self.random.below(28_000)
            )),
            reason: fails.then(|| "no matching key".to_owned()),
            service: Some("sshd".to_owned()),
            terminal: Some(format!("pts/{}", self.random.below(12))),
            ..Login::default()
        };
        draft.detail = Some(Detail::Login(Box::new(login)));
        let event = self.event_of_node(to, draft, now);
        self.ready.push_back(event);
    }

    /// A session's start, marks and end, directly after each other.
    fn session(&mut self, from: usize, to: usize, time: i64, now: i64) {
        self.sessions += 1;
        let started = Timestamp::from_nanos(time);
        let session = SessionId::new(started, "main", 3, self.sessions).expect("a session id");
        let command = self.random.below(3) > 0;
        let command = command.then(|| {
            let file = self.random.below(500);
            (*self.random.favourite(&[
                format!("journalctl -u payments --since -{file}m"),
                "uptime".to_owned(),
                format!("scp -t /srv/releases/{file}.tar.gz"),
                format!("psql -c 'select * from orders where id = {}'", file * 7919),
            ]))
            .clone()
        });
        let facts = SessionFacts {
            command,
            connection: Some(format!(
                "ssh-conn-{}-{:010x}",
                started.to_string().get(..10).unwrap_or_default(),
                self.random.any() >> 24
            )),
            height: Some(24 + self.random.below(40) as u64),
            peer: Some(format!(
                "{}:{}",
                self.nodes[to].device.addresses[0],
                32_768 + self.random.below(28_000)
            )),
            protocol: Some("v2".to_owned()),
            recorded_by: self.nodes[to].device.name.clone(),
            started: Some(started),
            terminal: Some("xterm-256color".to_owned()),
            width: Some(80 + self.random.below(120) as u64),
            ..SessionFacts::default()
        };
        self.push_session_event(
            Kind::SshSessionStarted,
            (from, to, now),
            &session,
            Detail::Session(Box::new(facts.clone())),
        );
        let mut bytes = 0;
        let marks = 1 + self.random.below(3) as u64;
        for _ in 0..marks {
            bytes += self.random.size(9.0, 1.5);
            let mark = Mark { bytes: Some(bytes), sha256: Some(self.hash()) };
            self.push_session_event(Kind::RecordingMark, (from, to, now), &session, Detail::Mark(mark));
        }
        let ended = SessionFacts {
            bytes: Some(bytes),
            ended: Some(Timestamp::from_nanos(now)),
            marks: Some(marks),
            sha256: Some(self.hash()),
            ..facts
        };
        self.push_session_event(
            Kind::SshSessionEnded,
            (from, to, now),
            &session,
            Detail::Session(Box::new(ended)),
        );
    }

    fn push_session_event(
        &mut self,
        kind: Kind,
        (from, to, now): (usize, usize, i64),
        session: &SessionId,
        detail: Detail,
    ) {
        let is_mark = kind == Kind::RecordingMark;
        let mut draft = self.draft(kind, from, now);
        if is_mark {
            (draft.actor, draft.identity) = (Actor::default(), Identity::default());
        } else {
            draft.target = self.target(to);
            draft.target.account = Some("root".to_owned());
        }
        draft.session = Some(session.clone());
        draft.detail = Some(detail);
        self.recorder += 1;
        let event = self.event_of_server("main.recorder", self.recorder, draft, now);
        self.ready.push_back(event);
    }

    fn hash(&mut self) -> String {
        (0..4).map(|_| format!("{:016x}", self.random.any())).collect()
    }

    fn own(&mut self, from: usize, time: i64, now: i64) {
        let mut draft = self.draft(Kind::MeshtrailViewed, from, time);
        let session = SessionId::new(
            Timestamp::from_nanos(time),
            "main",
            3,
            1 + self.random.below(self.sessions as usize) as u64,
        );
        draft.session = session.ok();
        let own = Own {
            method: Some("tailnet".to_owned()),
            role: Some("auditor".to_owned()),
            what: Some("replay".to_owned()),
            ..Own::default()
        };
        draft.detail = Some(Detail::Own(Box::new(own)));
        self.recorder += 1;
        let event = self.event_of_server("main.recorder", self.recorder, draft, now);
        self.ready.push_back(event);
    }

    fn change(&mut self, from: usize, to: usize, time: i64, now: i64) {
        let mut draft = self.draft(Kind::DeviceTagged, from, time);
        draft.target = self.target(to);
        let tags = |random: &mut Random| {
            Json::from(&serde_json::json!([random.favourite(&["tag:prod", "tag:db", "tag:ci"])]))
        };
        let change = Change {
            action: Some("UPDATE".to_owned()),
            new: Some(tags(&mut self.random)),
            old: Some(tags(&mut self.random)),
            origin: Some("ADMIN_CONSOLE".to_owned()),
            property: Some("ACL_TAGS".to_owned()),
            summary: Some(format!(
                "changed the tags of {}",
                self.nodes[to].device.label().unwrap_or_default()
            )),
            ..Change::default()
        };
        draft.detail = Some(Detail::Change(Box::new(change)));
        self.collector += 1;
        let event = self.event_of_server("main.tailscale-api", self.collector, draft, now);
        self.ready.push_back(event);
    }
}

impl Iterator for Mesh {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            self.report();
        }
        self.ready.pop_front()
    }
}

fn laptop(random: &mut Random, person: usize, device: usize, number: usize) -> Node {
    const NAMES: [&str; 16] = [
        "alice", "bob", "carol", "dan", "erin", "farid", "grace", "heidi", "ivan", "judy", "kim", "lena",
        "mallory", "nils", "olga", "peggy",
    ];
    let name = format!("{}{}", NAMES[person % NAMES.len()], person / NAMES.len());
    let os = *random.favourite(&["macOS", "linux", "windows", "iOS"]);
    let groups = ["group:dev", "group:ops", "group:data"];
    let login = Person {
        groups: vec![groups[person % 3].to_owned()],
        id: Some(format!("u{:011}CNTRL", 70_000_000 + person * 7919)),
        login: format!("{name}@example.com"),
        name: Some(format!("{}{} Example", name[..1].to_uppercase(), &name[1..])),
    };
    let device = new_device(random, &format!("{name}-{}-{device}", os.to_lowercase()), os, number, &[]);
    node(random, device, Some(login), [-1, 0, 5, 8][person % 4])
}

fn server(random: &mut Random, server: usize, number: usize) -> Node {
    let role = ["web", "db", "ci", "cache"][server % 4];
    let device = new_device(
        random,
        &format!("{role}-{server:02}"),
        "linux",
        number,
        &[&format!("tag:{role}"), "tag:prod"],
    );
    node(random, device, None, 0)
}

fn new_device(random: &mut Random, name: &str, os: &str, number: usize, tags: &[&str]) -> Device {
    let (high, low) = (number / 200 + 64, number % 200 + 10);
    Device {
        addresses: vec![
            format!("100.{high}.{}.{low}", random.below(250)),
            format!("fd7a:115c:a1e0::{:x}:{low:x}", high * 31),
        ],
        id: Some(format!("n{:08x}{number:02x}CNTRL", random.any() as u32)),
        name: Some(format!("{name}.tail1a2b3c.ts.net")),
        os: Some(os.to_owned()),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
    }
}

fn node(random: &mut Random, device: Device, person: Option<Person>, offset: i64) -> Node {
    let short = device.label().unwrap_or_default().to_lowercase();
    let source = format!("{short}.agent").parse().expect("a device's short name is a source's");
    Node {
        device: device.into(),
        person: person.map(Arc::new),
        source,
        sequence: random.below(1_000_000) as u64,
        offset,
        window: 0,
        connections: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let leaves = |seed| events(seed).take(2000).map(|event| event.to_leaf()).collect::<Vec<_>>();
        assert_eq!(leaves(1), leaves(1));
        assert_ne!(leaves(1), leaves(2));
        for leaf in leaves(3) {
            assert_eq!(Event::from_json(&leaf).unwrap().to_leaf(), leaf);
        }
    }
}
