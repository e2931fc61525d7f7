//! Snapshots of the control plane: everything at the start of the story, and devices and people with their presence on the
//! last evening.

use std::time::Duration;

use meshtrail_event::{Actor, Change, Detail, DeviceState, Kind, Target, Timestamp};

use super::plan::Plan;
use super::world::{World, json, source};
use crate::company::as_person;

pub(super) fn plan(plan: &mut Plan) {
    let begin = plan.days.begin;
    plan.add(begin, |world| {
        devices_and_people(world);
        let policy = json(&world.policy);
        let named = |name: &str| Target {
            name: Some(name.to_owned()),
            of_type: Some(name.to_owned()),
            ..Target::default()
        };
        emit_snapshot(world, "policy", named("policy"), policy);
        let dns = json(&serde_json::json!({
            "magicDNS": true, "nameservers": ["192.0.2.53"], "searchPaths": ["example.com"],
        }));
        emit_snapshot(world, "dns", named("dns"), dns);
    });
    plan.add(plan.days.at(1, 23, 55), devices_and_people);
}

fn devices_and_people(world: &mut World) {
    for machine in 0..world.company.machines.len() {
        if !world.company.machines[machine].present {
            continue;
        }
        let mut state = world.company.machines[machine].state.clone();
        let away = away(machine, &state);
        state.online = Some(away.is_zero());
        state.last_seen = Some(Timestamp::from_nanos(world.now).before(away));
        let target = Target {
            id: Some(state.id.clone()),
            name: state.name.clone(),
            of_type: Some("device".to_owned()),
            ..world.target(machine)
        };
        emit_snapshot(world, "device", target, json(&state));
    }
    for person in 0..world.company.people.len() {
        let state = &world.company.people[person].state;
        let target = Target {
            id: Some(state.id.clone()),
            name: Some(state.login.clone()),
            of_type: Some("user".to_owned()),
            person: Some(as_person(state).into()),
            ..Target::default()
        };
        let new = json(state);
        emit_snapshot(world, "user", target, new);
    }
}

/// The time since a machine was online: zero for servers and most others, days for a few.
fn away(machine: usize, state: &DeviceState) -> Duration {
    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 60 * MINUTE;
    let number = machine as u64;
    match (state.tags.is_empty(), number % 11, number % 3) {
        (true, 0, _) => Duration::from_secs((2 + number % 9) * DAY),
        (true, _, 1) => Duration::from_secs((20 + number * 37 % 400) * MINUTE),
        _ => Duration::ZERO,
    }
}

fn emit_snapshot(world: &mut World, property: &str, target: Target, new: meshtrail_event::Json) {
    let mut draft = world.draft(Kind::ConfigSnapshot);
    draft.actor = Actor { service: Some("tailscale".to_owned()), ..Actor::default() };
    draft.target = target;
    draft.detail = Some(Detail::Change(Box::new(Change {
        new: Some(new),
        origin: Some("snapshot".to_owned()),
        property: Some(property.to_owned()),
        ..Change::default()
    })));
    world.emit(source::DEVICES, draft);
}
