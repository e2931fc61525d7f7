//! Flows, as the nodes at both ends count them.
//!
//! - Both ends report a window. A node with a userspace tailscaled counts only what it sends, and so does every node for
//!   sessions that end in tailscaled itself (reference: client protocols, 4.4).
//! - Traffic to hosts behind the subnet router or the exit node is reported by the client and that node.

use std::sync::Arc;

use meshtrail_event::{Actor, Detail, Device, Flow, Kind, Target, Timestamp};

use super::plan::Plan;
use super::world::{World, source};
use crate::calendar::{HOUR, SECOND};
use crate::company::Company;

/// Number of conversations that people start.
const CONVERSATIONS: usize = 3200;

/// The length of a report's window.
const WINDOW: i64 = 5 * SECOND;

/// Traffic between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conversation {
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
    routed_traffic(plan, company);
}

fn people(plan: &mut Plan, company: &Company) {
    let mut random = plan.random("talks");
    for _ in 0..CONVERSATIONS {
        let person = random.skewed_index(company.people.len());
        let at = plan.days.workday_moment(&mut random, company.people[person].zone);
        let (tag, port, middle) = *random.skewed(&[
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
                emit_both_ends(world, Conversation { near, far, proto: 6, ports, bytes });
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
                emit_both_ends(world, Conversation { near, far, proto: 6, ports, bytes });
            });
            at += 2 * HOUR + i64::try_from(random.below(3_600_000_000_000)).unwrap_or(0);
        }
    }
}

/// Emits the reports of both ends about one window.
pub(super) fn emit_both_ends(world: &mut World, conversation: Conversation) {
    let Conversation { near, far, proto, ports, bytes } = conversation;
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
    emit_flow(world, near, Some(far), one);
    emit_flow(world, far, Some(near), other);
}

fn packets(bytes: u64) -> u64 {
    1 + bytes / 1180
}

/// Emits one node's report about a window that ends now.
fn emit_flow(world: &mut World, reporter: usize, far: Option<usize>, mut flow: Flow) {
    let id = |machine: usize| Some(world.company.machines[machine].state.id.clone());
    flow.start = Some(Timestamp::from_nanos(world.now - WINDOW));
    flow.end = Some(Timestamp::from_nanos(world.now));
    flow.reporter = id(reporter);
    flow.src_node = id(reporter);
    flow.dst_node = far.and_then(id);
    let mut draft = world.draft(Kind::FlowCounted);
    (draft.actor, draft.identity) = (brief_actor(world.actor(reporter)), world.resolved_identity());
    if let Some(far) = far {
        let target = world.target(far);
        draft.target =
            Target { device: target.device.map(brief_device), person: target.person, ..Target::default() };
    }
    draft.detail = Some(Detail::Flow(Box::new(flow)));
    let id = world.emit(source::FLOWS, draft);
    world.referenced.insert("flow", id);
}

fn brief_actor(actor: Actor) -> Actor {
    Actor { device: actor.device.map(brief_device), ..actor }
}

/// The short form of a device in frequent events.
fn brief_device(device: Arc<Device>) -> Arc<Device> {
    Arc::new(Device { addresses: Vec::new(), os: None, ..Arc::unwrap_or_clone(device) })
}

/// Traffic to printers behind the office's router, through the exit node, and the encrypted packets underneath.
fn routed_traffic(plan: &mut Plan, company: &Company) {
    let mut random = plan.random("beyond");
    for number in 0..600 {
        let person = random.skewed_index(company.people.len());
        let at = plan.days.workday_moment(&mut random, company.people[person].zone);
        let (port, bytes) = (random.between(33_000, 60_000), (random.size(60_000), random.size(9_000)));
        let host = random.between(10, 14);
        plan.add(at, move |world| {
            let Some(laptop) = world.company.laptop_of(person) else { return };
            match number % 3 {
                0 => printer_traffic(world, laptop, (host, port), bytes),
                1 => exit_traffic(world, laptop, bytes),
                _ => physical_traffic(world, laptop, host, bytes),
            }
        });
    }
}

fn printer_traffic(world: &mut World, laptop: usize, (host, port): (u64, u64), (sent, got): (u64, u64)) {
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
    emit_flow(world, laptop, None, counts(&near, &printer, sent, got));
    emit_flow(world, router, Some(laptop), counts(&printer, &near, got, sent));
}

/// Traffic through the exit node; the destination is not reported.
fn exit_traffic(world: &mut World, laptop: usize, (sent, got): (u64, u64)) {
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
    emit_flow(world, laptop, None, flow(Some(&near), None, sent, got * 9));
    emit_flow(world, exit, Some(laptop), flow(None, Some(&near), got * 9, sent));
}

/// Encrypted packets, direct or through a relay.
fn physical_traffic(world: &mut World, laptop: usize, host: u64, (sent, got): (u64, u64)) {
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
    emit_flow(world, laptop, Some(far), flow);
}
