//! Who talked to whom, as the nodes at both ends counted it.
//!
//! - Both ends report a window; a node whose tailscaled has no interface counts only what it sends, and so does every
//!   node for sessions that end in tailscaled itself (reference: client protocols, 4.4).
//! - Hosts behind the subnet router and places behind the exit node are seen by the two nodes between.

use std::sync::Arc;

use meshtrail_event::{Actor, Detail, Device, Flow, Kind, Target, Timestamp};

use super::plan::Plan;
use super::world::{World, source};
use crate::calendar::{HOUR, SECOND};
use crate::company::Company;

/// Conversations that people begin.
const TALKS: usize = 3200;

/// One window of a node's counting.
const WINDOW: i64 = 5 * SECOND;

/// What runs between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    pub(super) near: usize,
    pub(super) far: usize,
    pub(super) proto: u64,
    pub(super) ports: (u64, u64),
    /// Bytes from near to far in a window, and back.
    pub(super) bytes: (u64, u64),
}

pub(super) fn plan(plan: &mut Plan, company: &Company) {
    people(plan, company);
    servers(plan);
    beyond(plan, company);
}

fn people(plan: &mut Plan, company: &Company) {
    let mut random = plan.random("talks");
    for _ in 0..TALKS {
        let person = random.favoured_place(company.people.len());
        let at = plan.days.workday_moment(&mut random, company.people[person].zone);
        let (tag, port, middle) = *random.favourite(&[
            ("tag:web", 443, 24_000),
            ("tag:api", 8080, 16_000),
            ("tag:staging", 443, 30_000),
            ("tag:prod", 22, 2_000),
            ("tag:k8s-operator", 443, 8_000),
            ("tag:db", 5432, 12_000),
            ("tag:monitoring", 3000, 40_000),
        ]);
        let windows = i64::try_from(random.between(1, 3)).unwrap_or(1);
        let (bytes, ports) =
            ((random.size(middle), random.size(middle * 6)), (random.between(33_000, 60_000), port));
        for window in 0..windows {
            plan.add(at + window * WINDOW, move |world| {
                let machines = world.company.tagged(tag);
                let (Some(near), false) = (world.company.laptop_of(person), machines.is_empty()) else {
                    return;
                };
                let far = machines[person % machines.len()];
                tell(world, Talk { near, far, proto: 6, ports, bytes });
            });
        }
    }
}

fn servers(plan: &mut Plan) {
    const PAIRS: [(&str, &str, u64, u64); 8] = [
        ("web-1", "api-1", 8080, 900_000),
        ("api-1", "db-1", 5432, 400_000),
        ("api-2", "db-2", 5432, 380_000),
        ("pay-1", "db-3", 5432, 90_000),
        ("api-3", "cache-1", 6379, 120_000),
        ("metrics-1", "web-2", 9100, 60_000),
        ("ci-runner-2", "staging-1", 22, 200_000),
        ("backup", "db-1", 5432, 2_000_000),
    ];
    let mut random = plan.random("servers");
    for (near, far, port, middle) in PAIRS {
        let mut at = plan.days.begin + i64::try_from(random.below(9_000_000_000)).unwrap_or(0);
        while at < plan.days.until {
            let bytes = (random.size(middle), random.size(middle * 3));
            let ports = (random.between(33_000, 60_000), port);
            plan.add(at, move |world| {
                let (near, far) = (world.company.machine(near), world.company.machine(far));
                tell(world, Talk { near, far, proto: 6, ports, bytes });
            });
            at += 2 * HOUR + i64::try_from(random.below(3_600_000_000_000)).unwrap_or(0);
        }
    }
}

/// Both ends tell what they counted of one window.
pub(super) fn tell(world: &mut World, talk: Talk) {
    let Talk { near, far, proto, ports, bytes } = talk;
    let address = |world: &World, machine: usize| world.company.machines[machine].state.addresses[0];
    let ends =
        (format!("{}:{}", address(world, near), ports.0), format!("{}:{}", address(world, far), ports.1));
    let inside = ports.1 == 22;
    let (near_blind, far_blind) =
        (world.company.machines[near].userspace, world.company.machines[far].userspace || inside);
    let flow = |src: &str, dst: &str, (sent, got): (u64, u64), blind: bool| Flow {
        dst: Some(dst.to_owned()),
        layer: Some("virtual".to_owned()),
        proto: Some(proto),
        rx_bytes: (!blind).then_some(got),
        rx_packets: (!blind).then_some(packets(got)),
        src: Some(src.to_owned()),
        tx_bytes: Some(sent),
        tx_packets: Some(packets(sent)),
        ..Flow::default()
    };
    let one = flow(&ends.0, &ends.1, bytes, near_blind);
    let other = flow(&ends.1, &ends.0, (bytes.1, bytes.0), far_blind);
    counted(world, near, Some(far), one);
    counted(world, far, Some(near), other);
}

fn packets(bytes: u64) -> u64 {
    1 + bytes / 1180
}

/// One node's count of a window that ends now.
fn counted(world: &mut World, reporter: usize, far: Option<usize>, mut flow: Flow) {
    let id = |machine: usize| Some(world.company.machines[machine].state.id.clone());
    flow.start = Some(Timestamp::from_nanos(world.now - WINDOW));
    flow.end = Some(Timestamp::from_nanos(world.now));
    flow.reporter = id(reporter);
    flow.src_node = id(reporter);
    flow.dst_node = far.and_then(id);
    let mut draft = world.draft(Kind::FlowCounted);
    (draft.actor, draft.identity) = (brief(world.actor(reporter)), world.known());
    if let Some(far) = far {
        let target = world.target(far);
        draft.target =
            Target { device: target.device.map(named), person: target.person, ..Target::default() };
    }
    draft.detail = Some(Detail::Flow(Box::new(flow)));
    let id = world.tell(source::FLOWS, draft);
    world.noted.insert("flow", id);
}

fn brief(actor: Actor) -> Actor {
    Actor { device: actor.device.map(named), ..actor }
}

/// A device as masses of events name it.
fn named(device: Arc<Device>) -> Arc<Device> {
    Arc::new(Device { addresses: Vec::new(), os: None, ..Arc::unwrap_or_clone(device) })
}

/// Printers behind the office's router, the world behind the exit node, and the packets that carry all of it.
fn beyond(plan: &mut Plan, company: &Company) {
    let mut random = plan.random("beyond");
    for turn in 0..600 {
        let person = random.favoured_place(company.people.len());
        let at = plan.days.workday_moment(&mut random, company.people[person].zone);
        let (port, bytes) = (random.between(33_000, 60_000), (random.size(60_000), random.size(9_000)));
        let host = random.between(10, 14);
        plan.add(at, move |world| {
            let Some(laptop) = world.company.laptop_of(person) else { return };
            match turn % 3 {
                0 => printed(world, laptop, (host, port), bytes),
                1 => left(world, laptop, bytes),
                _ => carried(world, laptop, host, bytes),
            }
        });
    }
}

fn printed(world: &mut World, laptop: usize, (host, port): (u64, u64), (sent, got): (u64, u64)) {
    let router = world.company.machine("office-router");
    let near = format!("{}:{port}", world.company.machines[laptop].state.addresses[0]);
    let printer = format!("192.0.2.{host}:631");
    let counts = |src: &str, dst: &str, sent: u64, got: u64| Flow {
        dst: Some(dst.to_owned()),
        layer: Some("subnet".to_owned()),
        proto: Some(6),
        rx_bytes: Some(got),
        rx_packets: Some(packets(got)),
        src: Some(src.to_owned()),
        tx_bytes: Some(sent),
        tx_packets: Some(packets(sent)),
        ..Flow::default()
    };
    counted(world, laptop, None, counts(&near, &printer, sent, got));
    counted(world, router, Some(laptop), counts(&printer, &near, got, sent));
}

/// Through the exit node; where to is not told.
fn left(world: &mut World, laptop: usize, (sent, got): (u64, u64)) {
    let exit = world.company.machine("exit-fra-1");
    let near = format!("{}:0", world.company.machines[laptop].state.addresses[0]);
    let flow = |src: Option<&String>, dst: Option<&String>, sent: u64, got: u64| Flow {
        dst: dst.cloned(),
        layer: Some("exit".to_owned()),
        rx_bytes: Some(got),
        rx_packets: Some(packets(got)),
        src: src.cloned(),
        tx_bytes: Some(sent),
        tx_packets: Some(packets(sent)),
        ..Flow::default()
    };
    counted(world, laptop, None, flow(Some(&near), None, sent, got * 9));
    counted(world, exit, Some(laptop), flow(None, Some(&near), got * 9, sent));
}

/// What went over the wire, encrypted: straight, or through a relay.
fn carried(world: &mut World, laptop: usize, host: u64, (sent, got): (u64, u64)) {
    let far = world.company.machine("web-1");
    let underlay =
        if host.is_multiple_of(2) { format!("203.0.113.{host}:41641") } else { "127.3.3.40:4".to_owned() };
    let flow = Flow {
        dst: Some(underlay),
        layer: Some("physical".to_owned()),
        rx_bytes: Some(got + 148),
        rx_packets: Some(packets(got) + 1),
        src: Some(format!("{}:0", world.company.machines[far].state.addresses[0])),
        tx_bytes: Some(sent + 148),
        tx_packets: Some(packets(sent) + 1),
        ..Flow::default()
    };
    counted(world, laptop, Some(far), flow);
}
