//! Findings, clients' logs, and events about sources.

use meshtrail_event::rule::{self, Rule};
use meshtrail_event::{Detail, Draft, EventId, Finding, Kind, LogLine, Own, Subject, Timestamp};

use super::plan::Plan;
use super::world::{World, source};
use crate::calendar::{HOUR, MINUTE};

pub(super) fn plan(plan: &mut Plan) {
    sources(plan);
    logs(plan);
    posture_findings(plan);
}

/// A finding of a rule.
pub(super) struct FindingDraft {
    pub(super) rule: &'static Rule,
    pub(super) summary: String,
    pub(super) subject: Option<Subject>,
    pub(super) events: Vec<EventId>,
}

impl FindingDraft {
    /// The finding that Meshtrail's own rules raise for a change of this kind.
    pub(super) fn of(kind: &Kind, summary: String, subject: Option<Subject>) -> Option<Self> {
        let rule = match kind {
            Kind::DeviceAdded => &rule::MESH_DEVICE_ADDED,
            Kind::DeviceRemoved => &rule::MESH_DEVICE_REMOVED,
            Kind::PolicyChanged => &rule::MESH_POLICY_CHANGED,
            _ => return None,
        };
        Some(Self { rule, summary, subject, events: Vec::new() })
    }
}

/// Raises a finding.
pub(super) fn raise_finding(
    world: &mut World,
    finding: FindingDraft,
    about: Draft,
    session: Option<usize>,
) -> EventId {
    let FindingDraft { rule, summary, subject, events } = finding;
    let time = Timestamp::from_nanos(world.now);
    let key = events.first().map(EventId::to_string);
    let key = key.or_else(|| subject.as_ref().map(|subject| subject.id.clone())).unwrap_or_default();
    let draft = Draft {
        kind: Kind::FindingRaised,
        time,
        detail: Some(Detail::Finding(Box::new(Finding {
            subject,
            summary: Some(summary),
            ..rule.finding(key, events, time)
        }))),
        ..about
    };
    world.emit_in_session(source::RULES, draft, session)
}

/// The target's device as the subject of a finding.
pub(super) fn device_subject(about: &Draft) -> Option<Subject> {
    Some(Subject::new("device", about.target.device.as_ref()?.id.clone()?))
}

fn sources(plan: &mut Plan) {
    const NAMES: [&str; 6] =
        [source::AUDIT, source::DEVICES, source::FLOWS, source::CLIENTS, source::HOSTS, source::KUBE];
    plan.add(plan.days.begin, |world| {
        for name in NAMES {
            emit_own(world, Kind::MeshtrailSourceConnected, name, |_| {});
        }
    });
    let silent = plan.days.at(21, 22, 10);
    plan.add(silent, |world| {
        emit_own(world, Kind::MeshtrailSourceSilent, source::KUBE, |own| {
            own.reason = Some("nothing was heard for 15 minutes".to_owned());
        });
    });
    plan.add(silent + 3 * HOUR + 20 * MINUTE, |world| {
        emit_own(world, Kind::MeshtrailSourceConnected, source::KUBE, |own| {
            own.reason = Some("heard again after 3 h 35 min".to_owned());
        });
    });
    for (days, name, first, last) in [(14, source::CLIENTS, 40_112, 40_139), (5, source::HOSTS, 9_020, 9_026)]
    {
        plan.add(plan.days.at(days, 3, 41), move |world| {
            emit_own(world, Kind::MeshtrailSourceGap, name, |own| {
                own.count = Some(last - first + 1);
                (own.first, own.last) = (Some(first), Some(last));
                own.reason = Some("the sender's numbers jump".to_owned());
            });
        });
    }
}

fn emit_own(world: &mut World, kind: Kind, about: &str, fill: impl FnOnce(&mut Own)) {
    let mut own = Own { source: Some(world.full_name(about)), ..Own::default() };
    fill(&mut own);
    let draft = Draft { detail: Some(Detail::Own(Box::new(own))), ..world.draft(kind) };
    world.emit(source::WATCH, draft);
}

fn logs(plan: &mut Plan) {
    let mut random = plan.random("logs");
    for number in 0..1600u64 {
        let at = plan.days.moment(&mut random);
        let (which, small, large) = (random.below(4), random.between(1, 24), random.between(1024, 65_000));
        plan.add(at, move |world| {
            let machine = usize::try_from(number).unwrap_or(0) * 7 % world.company.personal;
            if !world.company.machines[machine].present {
                return;
            }
            let text = match which {
                0 => format!("magicsock: derp-{small} connected; connGen=1"),
                1 => format!("netcheck: report: udp=true v6=true derp={small} derpdist={small}ms"),
                2 => format!("magicsock: endpoints changed: 192.0.2.{small}:{large} (local)"),
                _ => format!("control: NetInfo: NetInfo{{varies=false hairpin= ipv6=true derp=#{small}}}"),
            };
            let mut draft = world.draft(Kind::LogLine);
            (draft.actor, draft.identity) = (world.actor(machine), world.resolved_identity());
            draft.detail = Some(Detail::Log(Box::new(LogLine {
                collection: Some("tailnode.log.tailscale.io".to_owned()),
                text: Some(text),
                ..LogLine::default()
            })));
            world.emit(source::CLIENTS, draft);
        });
    }
}

/// Findings of an ordinary month.
fn posture_findings(plan: &mut Plan) {
    for (days, machine, rule, summary) in [
        (24, "metrics-2", &rule::MESH_KEY_NEVER_EXPIRES, "metrics-2's node key never expires"),
        (15, "ci-runner-4", &rule::MESH_CLIENT_OLD, "ci-runner-4 runs a client four versions old"),
        (8, "ci-runner-8", &rule::MESH_DEVICE_UNSEEN, "ci-runner-8 was last seen 90 days ago"),
    ] {
        plan.add(plan.days.at(days, 6, 0), move |world| {
            let about = Draft {
                target: world.target(world.company.machine(machine)),
                ..world.draft(Kind::FindingRaised)
            };
            let finding = FindingDraft {
                rule,
                summary: summary.to_owned(),
                subject: device_subject(&about),
                events: Vec::new(),
            };
            raise_finding(world, finding, about, None);
        });
    }
}
