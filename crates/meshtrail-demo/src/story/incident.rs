//! The incident.

use meshtrail_event::rule;
use meshtrail_event::{Actor, Detail, Draft, Finding, FindingStatus, Kind, Outcome, Target, Timestamp};

use super::access::{Visit, play_visit};
use super::changes::named;
use super::monitoring::{FindingDraft, device_subject, raise_finding};
use super::plan::Plan;
use super::policy::LOOSENED;
use super::traffic::{self, Conversation};
use super::world::{World, change, source};
use crate::calendar::{MINUTE, SECOND};
use crate::company::{Machine, device};
use crate::names::ELSEWHERE;
use crate::recording::Script;

/// Number of days before the end.
const DAYS_AGO: i64 = 4;

/// The intruder's machine.
const MACHINE: &str = "debian-x1";

/// The admin's forgotten API token that changes the policy.
const TOKEN: &str = "kTerra4CNTRL";

/// Start and end of the transfer, in seconds after the start of the visit.
const TRANSFER: std::ops::Range<i64> = 330..1140;

/// Plans the incident; returns the start of the visit.
pub(super) fn plan(plan: &mut Plan) -> Timestamp {
    let night = |minute| plan.days.at(DAYS_AGO, 3, 0) + minute * MINUTE;
    let visited = night(27);
    let (joined, loosened, mended, morning) = (night(12), night(19), night(55), night(6 * 60 + 10));
    plan.add(joined, arrive);
    plan.add(loosened, |world| {
        let new = LOOSENED.apply(&world.policy);
        let by = token(world);
        let id = world.change_policy(by, ("CONFIG_API", LOOSENED.summary), new);
        world.referenced.insert("loosened", id);
    });
    plan.add(visited, |world| {
        let (from, to) = (world.company.machine(MACHINE), world.company.machine("db-1"));
        let number =
            play_visit(world, Visit { from, to, account: "postgres", script: Script::Visit, pod: None });
        world.incident_session = Some(number);
    });
    for at in TRANSFER.step_by(5) {
        plan.add(visited + at * SECOND, |world| {
            let (near, far) = (world.company.machine("db-1"), world.company.machine(MACHINE));
            let bytes =
                (world.random.between(24_000_000, 27_000_000), world.random.between(300_000, 420_000));
            traffic::emit_both_ends(
                world,
                Conversation { near, far, proto: 6, ports: (51_442, 4444), bytes },
            );
        });
    }
    plan.add(visited + TRANSFER.end * SECOND + 20 * SECOND, detect_transfer);
    plan.add(mended, |world| {
        let (by, old) = (token(world), LOOSENED.undo(&world.policy));
        world.change_policy(by, ("CONFIG_API", "the policy is as it was before 03:19"), old);
    });
    plan.add(mended + 3 * MINUTE, leave);
    plan.add(morning, |world| {
        let (from, to) = (world.company.laptop_of(ANALYST), world.company.machine("db-1"));
        if let Some(from) = from {
            play_visit(world, Visit { from, to, account: "ops", script: Script::Aftermath, pod: None });
        }
    });
    plan.add(morning + 25 * MINUTE, start_investigation);
    Timestamp::from_nanos(visited)
}

/// The person who investigates in the morning.
const ANALYST: usize = 6;

/// The admin's token as an actor.
fn token(world: &World) -> Actor {
    Actor { service: Some(format!("API token {TOKEN}")), ..world.person_only(1) }
}

/// A contractor's sign-in adds an unknown machine.
fn arrive(world: &mut World) {
    let login = format!("rowan@{ELSEWHERE}");
    let person = world.company.people.iter().position(|member| member.state.login == login).unwrap_or(0);
    let by = world.person_only(person);
    let mut signed_in = world.draft(Kind::UserLogin);
    signed_in.target = named("user", &login);
    signed_in.outcome = Outcome::Success;
    world.audit(by.clone(), signed_in, change("LOGIN", "NODE", "signed in from 198.51.100.77"));
    let now = Timestamp::from_nanos(world.now);
    let mut state = device(&mut world.random, 241, MACHINE, "linux", now);
    state.owner = Some(login);
    world.company.machines.push(Machine { state, userspace: true, present: true });
    let machine = world.company.machines.len() - 1;
    let record = change("CREATE", "NODE", "debian-x1 joined under rowan@example.net");
    world.change_machine(by.clone(), (Kind::DeviceAdded, machine), record, |_| {});
    let record = change("CREATE", "NODE", "debian-x1 registered its node key");
    world.change_machine(by, (Kind::KeyRegistered, machine), record, |_| {});
}

fn detect_transfer(world: &mut World) {
    let machine = world.company.machine("db-1");
    let about = Draft {
        actor: world.actor(world.company.machine(MACHINE)),
        identity: world.resolved_identity(),
        target: world.target(machine),
        ..world.draft(Kind::FindingRaised)
    };
    let events =
        world.referenced.get("flow").into_iter().chain(world.referenced.get("loosened")).cloned().collect();
    let finding = FindingDraft {
        rule: &rule::FLOW_VOLUME_UNUSUAL,
        subject: device_subject(&about),
        summary: "db-1 sent about 4 GB to debian-x1 within 14 minutes, during a session of rowan@example.net"
            .to_owned(),
        events,
    };
    let session = world.incident_session;
    let id = raise_finding(world, finding, about, session);
    world.referenced.insert("finding", id);
}

/// The machine is removed, and the token revoked.
fn leave(world: &mut World) {
    let machine = world.company.machine(MACHINE);
    let by = token(world);
    let record = change("DELETE", "CONFIG_API", "debian-x1 was removed");
    world.change_machine(by.clone(), (Kind::DeviceRemoved, machine), record, |_| {});
    let mut revoked = world.draft(Kind::KeyRevoked);
    revoked.target = Target { id: Some(TOKEN.to_owned()), ..named("key", "terraform") };
    world.audit(by, revoked, change("REVOKE", "CONFIG_API", "the API token revoked itself"));
}

/// The analyst starts to investigate the finding.
fn start_investigation(world: &mut World) {
    let by = world.person(ANALYST);
    let draft = Draft {
        actor: by,
        identity: world.resolved_identity(),
        detail: Some(Detail::Finding(Box::new(Finding {
            finding: world.referenced.get("finding").cloned(),
            reason: Some("The recording shows a dump of customers and cards".to_owned()),
            rule: Some(rule::FLOW_VOLUME_UNUSUAL.name.to_owned()),
            severity: Some(rule::FLOW_VOLUME_UNUSUAL.severity.clone()),
            status: Some(FindingStatus::Acknowledged),
            title: Some(rule::FLOW_VOLUME_UNUSUAL.title.to_owned()),
            ..Finding::default()
        }))),
        ..world.draft(Kind::FindingChanged)
    };
    let session = world.incident_session;
    world.emit_in_session(source::RULES, draft, session);
}
