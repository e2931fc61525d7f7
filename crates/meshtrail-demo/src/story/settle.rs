//! The first look: everything as it is when the story begins, as snapshots.

use meshtrail_event::{Actor, Change, Detail, Kind, Target};

use super::plan::Plan;
use super::world::{World, json, source};
use crate::company::as_person;

pub(super) fn plan(plan: &mut Plan) {
    let begin = plan.days.begin;
    plan.add(begin, |world| {
        for machine in 0..world.company.machines.len() {
            let state = &world.company.machines[machine].state;
            let target = Target {
                id: Some(state.id.clone()),
                name: state.name.clone(),
                of_type: Some("device".to_owned()),
                ..world.target(machine)
            };
            let new = json(state);
            seen(world, "device", target, new);
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
            seen(world, "user", target, new);
        }
        let policy = json(&world.policy);
        let named = |name: &str| Target {
            name: Some(name.to_owned()),
            of_type: Some(name.to_owned()),
            ..Target::default()
        };
        seen(world, "policy", named("policy"), policy);
        let dns = json(&serde_json::json!({
            "magicDNS": true, "nameservers": ["192.0.2.53"], "searchPaths": ["example.com"],
        }));
        seen(world, "dns", named("dns"), dns);
    });
}

fn seen(world: &mut World, property: &str, target: Target, new: meshtrail_event::Json) {
    let mut draft = world.draft(Kind::ConfigSnapshot);
    draft.actor = Actor { service: Some("tailscale".to_owned()), ..Actor::default() };
    draft.target = target;
    draft.detail = Some(Detail::Change(Box::new(Change {
        new: Some(new),
        origin: Some("snapshot".to_owned()),
        property: Some(property.to_owned()),
        ..Change::default()
    })));
    world.tell(source::DEVICES, draft);
}
