//! The state of the company while the story is played, and the events of its sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshtrail_event::{
    Actor, Change, Detail, Device, DeviceState, Draft, EventId, Identity, IdentityStatus, Json, Kind,
    Subject, Target, Timestamp, UserState,
};

use super::access::{self, Visit};
use super::monitoring::{FindingDraft, device_subject, raise_finding};
use super::{Item, StoryEvent, policy};
use crate::calendar::SECOND;
use crate::company::{Company, as_device, as_person, contractor};
use crate::random::Random;
use crate::recording::DemoRecording;

/// Names of sources, without the trail's name.
pub(super) mod source {
    pub(crate) const AUDIT: &str = "tailscale.audit";
    pub(crate) const DEVICES: &str = "tailscale.devices";
    pub(crate) const FLOWS: &str = "logtail.flows";
    pub(crate) const CLIENTS: &str = "logtail.clients";
    pub(crate) const HOSTS: &str = "hosts";
    pub(crate) const KUBE: &str = "kube";
    pub(crate) const RULES: &str = "rules";
    pub(crate) const WATCH: &str = "watch";
}

/// A session that has not ended.
struct RunningSession {
    until: i64,
    number: usize,
    visit: Option<Visit>,
}

/// The company at `now`, and all items so far.
pub(super) struct World {
    pub(super) company: Company,
    pub(super) policy: String,
    pub(super) items: Vec<Item>,
    pub(super) random: Random,
    /// The current moment.
    pub(super) now: i64,
    /// Ids of events that later ones refer to.
    pub(super) referenced: BTreeMap<&'static str, EventId>,
    /// Number of the incident's session.
    pub(super) incident_session: Option<usize>,
    trail: String,
    sequences: BTreeMap<&'static str, u64>,
    running: Vec<RunningSession>,
    sessions: usize,
}

impl World {
    pub(super) fn new(seed: u64, mut company: Company, trail: &str, founded: Timestamp) -> Self {
        company.people.push(contractor(founded));
        let mut random = Random::part_of(seed, "world");
        let mut state = crate::company::device(&mut random, 230, "rowan-laptop", "macOS", founded);
        state.owner = company.people.last().map(|member| member.state.login.clone());
        state.external = Some(true);
        company.machines.push(crate::company::Machine { state, userspace: false, present: true });
        Self {
            company,
            policy: policy::first(),
            items: Vec::new(),
            random,
            now: 0,
            referenced: BTreeMap::new(),
            incident_session: None,
            trail: trail.to_owned(),
            sequences: BTreeMap::new(),
            running: Vec::new(),
            sessions: 0,
        }
    }

    /// A source's full name in the trail.
    pub(super) fn full_name(&self, source: &str) -> String {
        format!("{}.{source}", self.trail)
    }

    /// A draft at the current moment.
    pub(super) fn draft(&self, kind: Kind) -> Draft {
        Draft::new(kind, Timestamp::from_nanos(self.now))
    }

    /// Emits an event of a source.
    pub(super) fn emit(&mut self, source: &'static str, draft: Draft) -> EventId {
        self.emit_in_session(source, draft, None)
    }

    pub(super) fn emit_in_session(
        &mut self,
        source: &'static str,
        draft: Draft,
        session: Option<usize>,
    ) -> EventId {
        let name = self.full_name(source).parse().expect("the trail's name and the sources' are names");
        let sequence = self.sequences.entry(source).or_default();
        *sequence += 1;
        let id = EventId { source: name, epoch: 1, sequence: *sequence };
        self.items.push(Item::Event(Box::new(StoryEvent { id: id.clone(), draft, session })));
        id
    }

    /// Opens a session, which ends when its recording does. With a visit, the host emits an event about the logout.
    pub(super) fn open_session(&mut self, recording: DemoRecording, visit: Option<Visit>) -> usize {
        let number = self.sessions;
        self.sessions += 1;
        self.running.push(RunningSession { until: recording.ended.as_nanos(), number, visit });
        self.items.push(Item::SessionOpened { number, recording: Box::new(recording) });
        number
    }

    pub(super) fn close_sessions_before(&mut self, at: i64) {
        self.running.sort_by_key(|running| running.until);
        let over = self.running.partition_point(|running| running.until <= at);
        for RunningSession { until, number, visit } in self.running.drain(..over).collect::<Vec<_>>() {
            self.items.push(Item::SessionClosed { number });
            self.now = until;
            if let Some(visit) = visit {
                access::login(self, &visit, (Kind::SshLogout, None));
            }
        }
    }

    /// A resolved identity, at most half a minute old.
    pub(super) fn resolved_identity(&self) -> Identity {
        Identity {
            as_of: Some(Timestamp::from_nanos(self.now / (30 * SECOND) * (30 * SECOND))),
            provider: Some("tailscale".to_owned()),
            status: IdentityStatus::Resolved,
            ..Identity::default()
        }
    }

    pub(super) fn device(&self, machine: usize) -> Arc<Device> {
        as_device(&self.company.machines[machine].state).into()
    }

    /// A machine and its owner as an actor.
    pub(super) fn actor(&self, machine: usize) -> Actor {
        let device = self.device(machine);
        let person = self.company.owner_of(machine).map(|member| as_person(&member.state).into());
        let tags = if person.is_none() { device.tags.clone() } else { Vec::new() };
        Actor { device: Some(device), person, tags, ..Actor::default() }
    }

    /// A person as an actor, with their first device if they have one.
    pub(super) fn person(&self, person: usize) -> Actor {
        match self.company.laptop_of(person) {
            Some(laptop) => self.actor(laptop),
            None => self.person_only(person),
        }
    }

    /// A person as an actor without a device, as in the control plane's admin console.
    pub(super) fn person_only(&self, person: usize) -> Actor {
        let member = as_person(&self.company.people[person].state);
        Actor { person: Some(member.into()), ..Actor::default() }
    }

    /// A machine as a target.
    pub(super) fn target(&self, machine: usize) -> Target {
        let person = self.company.owner_of(machine).map(|member| as_person(&member.state).into());
        Target { device: Some(self.device(machine)), person, ..Target::default() }
    }

    fn machine_object(&self, machine: usize) -> Target {
        let state = &self.company.machines[machine].state;
        Target {
            id: Some(state.id.clone()),
            name: state.name.clone(),
            of_type: Some("device".to_owned()),
            ..self.target(machine)
        }
    }

    /// Changes a machine, and emits the audit record with its states before and after.
    pub(super) fn change_machine(
        &mut self,
        by: Actor,
        (kind, machine): (Kind, usize),
        record: Change,
        change: impl FnOnce(&mut DeviceState),
    ) -> EventId {
        let old = self.company.machines[machine].state.clone();
        change(&mut self.company.machines[machine].state);
        let mut record = record;
        let gone = kind == Kind::DeviceRemoved;
        record.old = (kind != Kind::DeviceAdded).then(|| json(&old));
        record.new = (!gone).then(|| json(&self.company.machines[machine].state));
        let mut draft = self.draft(kind);
        draft.target = self.machine_object(machine);
        self.company.machines[machine].present = !gone;
        self.audit(by, draft, record)
    }

    /// Changes a person, and emits the audit record with their states before and after.
    pub(super) fn change_person(
        &mut self,
        by: Actor,
        (kind, person): (Kind, usize),
        record: Change,
        change: impl FnOnce(&mut UserState),
    ) -> EventId {
        let old = self.company.people[person].state.clone();
        change(&mut self.company.people[person].state);
        let new = &self.company.people[person].state;
        let mut record = record;
        record.old = (kind != Kind::UserAdded).then(|| json(&old));
        record.new = Some(json(new));
        let mut draft = self.draft(kind);
        draft.target = Target {
            id: Some(new.id.clone()),
            name: Some(new.login.clone()),
            of_type: Some("user".to_owned()),
            person: Some(as_person(new).into()),
            ..Target::default()
        };
        self.audit(by, draft, record)
    }

    /// Changes the policy, and emits the audit record.
    pub(super) fn change_policy(&mut self, by: Actor, (via, summary): (&str, &str), new: String) -> EventId {
        let old = std::mem::replace(&mut self.policy, new);
        let record = Change {
            diff: Some(policy::unified(&old, &self.policy)),
            new: Some(json(&self.policy)),
            old: Some(json(&old)),
            lines: vec![summary.to_owned()],
            property: Some("ACL".to_owned()),
            ..change("UPDATE", via, summary)
        };
        let mut draft = self.draft(Kind::PolicyChanged);
        draft.target = Target {
            name: Some("policy".to_owned()),
            of_type: Some("policy".to_owned()),
            ..Target::default()
        };
        self.audit(by, draft, record)
    }

    /// Emits an audit record, and the finding that the rules raise for it.
    pub(super) fn audit(&mut self, by: Actor, mut draft: Draft, record: Change) -> EventId {
        draft.actor = by;
        draft.identity = self.resolved_identity();
        let subject = match draft.kind {
            Kind::PolicyChanged => Some(Subject::new("policy", "policy")),
            _ => device_subject(&draft),
        };
        let finding = FindingDraft::of(&draft.kind, record.summary.clone().unwrap_or_default(), subject);
        draft.detail = Some(Detail::Change(Box::new(record)));
        let about = Draft { detail: None, ..draft.clone() };
        let id = self.emit(source::AUDIT, draft);
        if let Some(finding) = finding {
            raise_finding(self, FindingDraft { events: vec![id.clone()], ..finding }, about, None);
        }
        id
    }
}

/// An audit record without the changed values.
pub(super) fn change(action: &str, via: &str, summary: &str) -> Change {
    Change {
        action: Some(action.to_owned()),
        origin: Some("audit-log".to_owned()),
        summary: Some(summary.to_owned()),
        via: Some(via.to_owned()),
        ..Change::default()
    }
}

/// A value as free-form JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Json {
    Json::from(&serde_json::to_value(value).expect("plain data serialises"))
}
