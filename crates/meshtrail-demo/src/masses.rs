//! Events in masses, for benchmarks: as many as wanted, spread like real use, without a story.
//!
//! - The same [`Masses`] give the same events, in the order in which a server receives them.
//! - Times follow working hours: people act while it is day where they are, servers always, weekends are quiet.
//! - Few people and devices do most; every kind of event that people search for is among them.
//! - Each source counts its events from 1 without a hole, so that a trail takes every one.

use meshtrail_event::{
    Actor, Change, Detail, Device, Draft, Event, EventId, Flow, Identity, IdentityStatus, Json, Kind,
    KubeRequest, LogLine, Login, Outcome, Person, SessionFacts, SessionId, SourceName, Target, Timestamp,
};

use crate::calendar::{HOUR, SECOND, works};
use crate::company::{Company, Size, as_device, as_person};
use crate::random::Random;

/// What is made in masses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masses {
    /// The same seed gives the same events.
    pub seed: u64,
    /// How large the company is.
    pub size: Size,
    /// Where the days end.
    pub until: Timestamp,
    /// Over how many days the events are spread.
    pub days: u64,
    /// How many events there are.
    pub events: u64,
}

impl Masses {
    /// Makes them, one after the other.
    pub fn iter(&self) -> Making {
        Making::new(*self)
    }
}

impl IntoIterator for Masses {
    type Item = Event;
    type IntoIter = Making;

    fn into_iter(self) -> Making {
        self.iter()
    }
}

/// A device and its owner, as its events name them.
struct Face {
    brief: Device,
    whole: Device,
    brief_owner: Option<Person>,
    owner: Option<Person>,
    address: String,
    source: SourceName,
    sequence: u64,
    zone: i64,
}

/// The events of [`Masses`] while they are made.
pub struct Making {
    masses: Masses,
    random: Random,
    faces: Vec<Face>,
    personal: usize,
    /// Devices whose people work in this hour.
    awake: Vec<usize>,
    hour: u64,
    /// Events of this hour that were made, and how many there are.
    made: u64,
    of_hour: u64,
    /// Events and weight that are left for the hours from this one on.
    left: u64,
    weight_left: u64,
    sessions: u64,
    shared: [(SourceName, u64); 2],
}

/// Places in [`Making::shared`].
const RECORDER: usize = 0;
const CONTROL: usize = 1;

impl Making {
    fn new(masses: Masses) -> Self {
        let begin = masses.until.as_nanos() - i64::try_from(masses.days * 24).unwrap_or(24) * HOUR;
        let company = Company::new(masses.seed, masses.size, Timestamp::from_nanos(begin));
        let faces: Vec<Face> = (0..company.machines.len()).map(|at| face(&company, at)).collect();
        let name = |text: &str| (text.parse().expect("a name written here"), 0);
        let mut making = Self {
            masses,
            random: Random::part_of(masses.seed, "masses"),
            personal: company.personal,
            faces,
            awake: Vec::new(),
            hour: 0,
            made: 0,
            of_hour: 0,
            left: masses.events,
            weight_left: 0,
            sessions: 0,
            shared: [name("main.recorder"), name("main.tailscale.audit")],
        };
        making.weight_left = (0..masses.days * 24).map(|hour| making.weight(hour)).sum();
        making.enter_hour();
        making
    }

    fn begin_of(&self, hour: u64) -> i64 {
        let before = i64::try_from(self.masses.days * 24 - hour).unwrap_or(0);
        self.masses.until.as_nanos() - before * HOUR
    }

    /// How busy an hour is: servers always, people while they work.
    fn weight(&self, hour: u64) -> u64 {
        let begin = self.begin_of(hour);
        let people = &self.faces[..self.personal];
        let working = people.iter().filter(|face| works(begin, face.zone)).count() as u64;
        self.faces.len() as u64 + working * 9
    }

    fn enter_hour(&mut self) {
        while self.hour < self.masses.days * 24 {
            let weight = self.weight(self.hour);
            let share = u128::from(self.left) * u128::from(weight) / u128::from(self.weight_left.max(1));
            self.of_hour = u64::try_from(share).unwrap_or(self.left).min(self.left);
            self.left -= self.of_hour;
            self.weight_left -= weight;
            self.made = 0;
            if self.of_hour > 0 {
                break;
            }
            self.hour += 1;
        }
        let begin = self.begin_of(self.hour);
        let awake = (0..self.personal).filter(|&at| works(begin, self.faces[at].zone));
        self.awake = awake.collect();
    }

    /// Who acts next: somebody at work, or now and then any machine.
    fn actor(&mut self) -> usize {
        if self.awake.is_empty() || self.random.once_in(5) {
            return self.random.favoured_place(self.faces.len());
        }
        self.awake[self.random.favoured_place(self.awake.len())]
    }

    fn server(&mut self) -> usize {
        self.personal + self.random.favoured_place(self.faces.len() - self.personal)
    }

    fn event(&mut self) -> Event {
        let step = HOUR / i64::try_from(self.of_hour).unwrap_or(HOUR).max(1);
        let within = step * i64::try_from(self.made).unwrap_or(0);
        let jitter = i64::try_from(self.random.below(20_000_000)).unwrap_or(0);
        let received = self.begin_of(self.hour) + within;
        let time = received - 40_000_000 - jitter;
        let (from, to) = (self.actor(), self.server());
        match self.random.below(1000) {
            0..700 => self.flow(from, to, time, received),
            700..820 => self.log(from, to, time, received),
            820..910 => self.kube(from, to, time, received),
            910..960 => self.login(from, to, time, received),
            960..985 => self.session(from, to, time, received),
            985..992 => self.change(from, to, time, received),
            _ => self.viewed(from, time, received),
        }
    }

    fn sent_by(&mut self, at: usize, draft: Draft, received: i64) -> Event {
        let face = &mut self.faces[at];
        face.sequence += 1;
        let id = EventId { source: face.source.clone(), epoch: 1, sequence: face.sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }

    fn sent_by_server(&mut self, which: usize, draft: Draft, received: i64) -> Event {
        let (source, sequence) = &mut self.shared[which];
        *sequence += 1;
        let id = EventId { source: source.clone(), epoch: 1, sequence: *sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }

    fn draft(&self, kind: Kind, from: usize, time: i64) -> Draft {
        let face = &self.faces[from];
        let mut draft = Draft::new(kind, Timestamp::from_nanos(time));
        draft.actor = actor(face.whole.clone(), face.owner.clone());
        draft.identity = known(time);
        draft
    }

    fn on(&self, to: usize) -> Target {
        Target { device: Some(self.faces[to].whole.clone()), ..Target::default() }
    }

    fn flow(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let (proto, port, middle) = *self.random.favourite(&[
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
        let (near, far) = (&self.faces[from], &self.faces[to]);
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
        draft.identity = known(time / (30 * SECOND) * (30 * SECOND));
        draft.target.device = Some(far.brief.clone());
        draft.detail = Some(Detail::Flow(Box::new(flow)));
        self.sent_by(from, draft, received)
    }

    fn log(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let (number, small) = (self.random.below(65_536), self.random.below(300));
        let peer = self.faces[to].brief.id.clone().unwrap_or_default();
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

    fn kube(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let verb = *self.random.favourite(&["list", "get", "watch", "patch", "create", "delete"]);
        let resource = *self.random.favourite(&["pods", "deployments", "events", "secrets", "services"]);
        let namespace = *self.random.favourite(&["default", "payments", "search", "billing", "kube-system"]);
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

    fn login(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let fails = self.random.once_in(15);
        let kind = if self.random.once_in(2) { Kind::SshLogin } else { Kind::SshLogout };
        let mut draft = self.draft(kind, from, time);
        draft.target = self.on(to);
        let account = *self.random.favourite(&["root", "deploy", "ubuntu", "postgres"]);
        draft.target.account = Some(account.to_owned());
        draft.outcome = if fails { Outcome::Failure } else { Outcome::Success };
        let port = 32_768 + self.random.below(28_000);
        draft.detail = Some(Detail::Login(Login {
            method: Some("tailscale".to_owned()),
            peer: Some(with_port(&self.faces[from].address, port)),
            pid: Some(1000 + self.random.below(3_000_000)),
            reason: fails.then(|| "no matching rule".to_owned()),
            service: Some("sshd".to_owned()),
            ..Login::default()
        }));
        self.sent_by(to, draft, received)
    }

    fn session(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
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
            peer: Some(with_port(&self.faces[to].address, 32_768 + self.random.below(28_000))),
            protocol: Some("v2".to_owned()),
            recorded_by: self.faces[to].whole.name.clone(),
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

    fn change(&mut self, from: usize, to: usize, time: i64, received: i64) -> Event {
        let mut draft = self.draft(Kind::DeviceTagged, from, time);
        draft.target = self.on(to);
        draft.target.of_type = Some("device".to_owned());
        let tags = |random: &mut Random| {
            Json::from(&serde_json::json!([random.favourite(&["tag:prod", "tag:db", "tag:ci"])]))
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

    fn viewed(&mut self, from: usize, time: i64, received: i64) -> Event {
        let mut draft = self.draft(Kind::MeshtrailViewed, from, time);
        let seen = 1 + self.random.below(self.sessions.max(1));
        draft.session = SessionId::new(Timestamp::from_nanos(time), "main", 1, seen).ok();
        let own = meshtrail_event::Own {
            method: Some("tailnet".to_owned()),
            role: Some("auditor".to_owned()),
            what: Some("replay".to_owned()),
            ..meshtrail_event::Own::default()
        };
        draft.detail = Some(Detail::Own(Box::new(own)));
        self.sent_by_server(RECORDER, draft, received)
    }
}

impl Iterator for Making {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.made == self.of_hour {
            self.hour += 1;
            self.enter_hour();
            if self.hour >= self.masses.days * 24 {
                return None;
            }
        }
        let event = self.event();
        self.made += 1;
        Some(event)
    }
}

fn face(company: &Company, at: usize) -> Face {
    let machine = &company.machines[at];
    let (whole, member) = (as_device(&machine.state), company.owner_of(at));
    let owner = member.map(|member| as_person(&member.state));
    let short = whole.label().unwrap_or_default().to_owned();
    Face {
        brief: Device { id: whole.id.clone(), name: whole.name.clone(), ..Device::default() },
        address: whole.addresses.first().cloned().unwrap_or_default(),
        brief_owner: owner.as_ref().map(|owner| Person { login: owner.login.clone(), ..Person::default() }),
        owner,
        whole,
        source: format!("{short}.agent").parse().expect("a device's short name is a source's"),
        sequence: 0,
        zone: member.map_or(0, |member| member.zone),
    }
}

fn actor(device: Device, person: Option<Person>) -> Actor {
    let tags = if person.is_none() { device.tags.clone() } else { Vec::new() };
    Actor { device: Some(device), person, tags, ..Actor::default() }
}

fn known(as_of: i64) -> Identity {
    Identity {
        as_of: Some(Timestamp::from_nanos(as_of)),
        provider: Some("directory".to_owned()),
        status: IdentityStatus::Resolved,
        ..Identity::default()
    }
}

/// `address:port`, written without the detour over a formatter.
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
    use std::collections::HashMap;

    use super::*;

    fn masses(events: u64) -> Masses {
        let until = "2026-11-20T00:00:00Z".parse().unwrap();
        Masses { seed: 1, size: Size { people: 60, devices: 150 }, until, days: 14, events }
    }

    #[test]
    fn there_are_as_many_as_asked_for_in_order_and_every_leaf_reads_back() {
        let (mut count, mut last) = (0, Timestamp::from_nanos(0));
        let mut sequences: HashMap<SourceName, u64> = HashMap::new();
        for event in masses(20_000) {
            let leaf = event.check().unwrap();
            assert_eq!(Event::from_json(&leaf).unwrap(), event);
            assert!(event.received >= last, "received in order");
            let sequence = sequences.entry(event.id.source.clone()).or_default();
            assert_eq!(event.id.sequence, *sequence + 1, "{}", event.id);
            *sequence += 1;
            last = event.received;
            count += 1;
        }
        assert_eq!(count, 20_000);
    }

    #[test]
    fn they_follow_working_hours_and_some_do_more_than_others() {
        let (mut weekday, mut sunday) = (0, 0);
        let mut by_actor: HashMap<String, usize> = HashMap::new();
        for event in masses(50_000) {
            // 2026-11-11 is a Wednesday, 2026-11-15 a Sunday.
            match event.received.date() {
                (2026, 11, 11) => weekday += 1,
                (2026, 11, 15) => sunday += 1,
                _ => {}
            }
            *by_actor.entry(event.actor.label().unwrap_or_default()).or_default() += 1;
        }
        assert!(weekday > 2 * sunday && sunday > 0, "{weekday} {sunday}");
        let (most, least) = (by_actor.values().max().unwrap(), by_actor.values().min().unwrap());
        assert!(*most > 20 * least, "{most} {least}");
    }

    #[test]
    fn an_address_with_its_port_is_written_as_anybody_writes_it() {
        for port in [0, 7, 22, 443, 65_535] {
            assert_eq!(with_port("100.64.0.7", port), format!("100.64.0.7:{port}"));
        }
    }
}
