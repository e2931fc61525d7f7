//! The company while the story is played, and how its sources tell of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshtrail_event::{
    Actor, Change, Detail, Device, Draft, EventId, Identity, IdentityStatus, Json, Kind, Target, Timestamp,
};
use meshtrail_identity::DeviceState;

use super::watch::{Concluded, raise};
use super::work::{self, Visit};
use super::{Item, Told, policy};
use crate::calendar::SECOND;
use crate::company::{Company, as_device, as_person, contractor};
use crate::random::Random;
use crate::tape::Tape;

/// Sources, as they are named after the trail.
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

/// A session that runs.
struct Running {
    until: i64,
    number: usize,
    visit: Option<Visit>,
}

/// The company at `now`, and all that was told so far.
pub(super) struct World {
    pub(super) company: Company,
    pub(super) policy: String,
    pub(super) items: Vec<Item>,
    pub(super) random: Random,
    /// The moment that is played.
    pub(super) now: i64,
    /// Events that later ones refer to.
    pub(super) noted: BTreeMap<&'static str, EventId>,
    /// The incident's session.
    pub(super) night: Option<usize>,
    trail: String,
    sequences: BTreeMap<&'static str, u64>,
    /// Sessions that run.
    running: Vec<Running>,
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
            noted: BTreeMap::new(),
            night: None,
            trail: trail.to_owned(),
            sequences: BTreeMap::new(),
            running: Vec::new(),
            sessions: 0,
        }
    }

    /// A source's name in the trail.
    pub(super) fn full_name(&self, source: &str) -> String {
        format!("{}.{source}", self.trail)
    }

    /// An event's beginnings, at this moment.
    pub(super) fn draft(&self, kind: Kind) -> Draft {
        Draft::new(kind, Timestamp::from_nanos(self.now))
    }

    /// A source tells of it.
    pub(super) fn tell(&mut self, source: &'static str, draft: Draft) -> EventId {
        self.tell_of_session(source, draft, None)
    }

    pub(super) fn tell_of_session(
        &mut self,
        source: &'static str,
        draft: Draft,
        session: Option<usize>,
    ) -> EventId {
        let name = self.full_name(source).parse().expect("the trail's name and the sources' are names");
        let sequence = self.sequences.entry(source).or_default();
        *sequence += 1;
        let id = EventId { source: name, epoch: 1, sequence: *sequence };
        self.items.push(Item::Event(Box::new(Told { id: id.clone(), draft, session })));
        id
    }

    /// A session begins; it ends by itself when its tape does. A host tells of its visit's end.
    pub(super) fn open(&mut self, tape: Tape, visit: Option<Visit>) -> usize {
        let number = self.sessions;
        self.sessions += 1;
        self.running.push(Running { until: tape.ended.as_nanos(), number, visit });
        self.items.push(Item::Opened { number, tape: Box::new(tape) });
        number
    }

    pub(super) fn close_sessions_before(&mut self, at: i64) {
        self.running.sort_by_key(|running| running.until);
        let over = self.running.partition_point(|running| running.until <= at);
        for Running { until, number, visit } in self.running.drain(..over).collect::<Vec<_>>() {
            self.items.push(Item::Closed { number });
            self.now = until;
            if let Some(visit) = visit {
                work::login(self, &visit, (Kind::SshLogout, None));
            }
        }
    }

    /// How it is known who it was: from the mesh, half a minute ago at most.
    pub(super) fn known(&self) -> Identity {
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

    /// A machine, and whoever owns it.
    pub(super) fn actor(&self, machine: usize) -> Actor {
        let device = self.device(machine);
        let person = self.company.owner_of(machine).map(|member| as_person(&member.state).into());
        let tags = if person.is_none() { device.tags.clone() } else { Vec::new() };
        Actor { device: Some(device), person, tags, ..Actor::default() }
    }

    /// A person, from their first device where they have one.
    pub(super) fn person(&self, person: usize) -> Actor {
        match self.company.laptop_of(person) {
            Some(laptop) => self.actor(laptop),
            None => self.alone(person),
        }
    }

    /// A person by themselves, as the control plane's own pages see them.
    pub(super) fn alone(&self, person: usize) -> Actor {
        let member = as_person(&self.company.people[person].state);
        Actor { person: Some(member.into()), ..Actor::default() }
    }

    /// A machine as what was acted on.
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

    /// Changes a machine, and tells of it with its state before and after.
    pub(super) fn change_machine(
        &mut self,
        by: Actor,
        (kind, machine): (Kind, usize),
        told: Change,
        change: impl FnOnce(&mut DeviceState),
    ) -> EventId {
        let old = self.company.machines[machine].state.clone();
        change(&mut self.company.machines[machine].state);
        let mut told = told;
        let gone = kind == Kind::DeviceRemoved;
        told.old = (kind != Kind::DeviceAdded).then(|| json(&old));
        told.new = (!gone).then(|| json(&self.company.machines[machine].state));
        let mut draft = self.draft(kind);
        draft.target = self.machine_object(machine);
        self.company.machines[machine].present = !gone;
        self.audit(by, draft, told)
    }

    /// Changes a person, and tells of it with their state before and after.
    pub(super) fn change_person(
        &mut self,
        by: Actor,
        (kind, person): (Kind, usize),
        told: Change,
        change: impl FnOnce(&mut meshtrail_identity::UserState),
    ) -> EventId {
        let old = self.company.people[person].state.clone();
        change(&mut self.company.people[person].state);
        let new = &self.company.people[person].state;
        let mut told = told;
        told.old = (kind != Kind::UserAdded).then(|| json(&old));
        told.new = Some(json(new));
        let mut draft = self.draft(kind);
        draft.target = Target {
            id: Some(new.id.clone()),
            name: Some(new.login.clone()),
            of_type: Some("user".to_owned()),
            person: Some(as_person(new).into()),
            ..Target::default()
        };
        self.audit(by, draft, told)
    }

    /// Puts another policy in force.
    pub(super) fn change_policy(&mut self, by: Actor, (via, says): (&str, &str), new: String) -> EventId {
        let old = std::mem::replace(&mut self.policy, new);
        let told = Change {
            diff: Some(policy::unified(&old, &self.policy)),
            new: Some(json(&self.policy)),
            old: Some(json(&old)),
            lines: vec![says.to_owned()],
            property: Some("ACL".to_owned()),
            ..change("UPDATE", via, says)
        };
        let mut draft = self.draft(Kind::PolicyChanged);
        draft.target = Target {
            name: Some("policy".to_owned()),
            of_type: Some("policy".to_owned()),
            ..Target::default()
        };
        self.audit(by, draft, told)
    }

    /// The configuration audit log tells of a change, and the rules conclude from it what they always do.
    pub(super) fn audit(&mut self, by: Actor, mut draft: Draft, told: Change) -> EventId {
        draft.actor = by;
        draft.identity = self.known();
        let concluded = Concluded::of(&draft.kind, told.summary.clone().unwrap_or_default());
        draft.detail = Some(Detail::Change(Box::new(told)));
        let about = Draft { detail: None, ..draft.clone() };
        let id = self.tell(source::AUDIT, draft);
        if let Some(concluded) = concluded {
            raise(self, Concluded { events: vec![id.clone()], ..concluded }, about, None);
        }
        id
    }
}

/// What the audit log says of a change, all but what it changed.
pub(super) fn change(action: &str, via: &str, says: &str) -> Change {
    Change {
        action: Some(action.to_owned()),
        origin: Some("audit-log".to_owned()),
        summary: Some(says.to_owned()),
        via: Some(via.to_owned()),
        ..Change::default()
    }
}

/// A value as free-form JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Json {
    Json::from(&serde_json::to_value(value).expect("plain data serialises"))
}
