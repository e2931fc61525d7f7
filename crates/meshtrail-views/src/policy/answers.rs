//! What a compiled policy answers, as the API's structs.

use meshtrail_api::policy::{
    AccessChange, DiffAnswer, KindChanges, LoginAnswers, LoginDecision, LoginView, NearRule, PolicyInForce,
    ReachAnswer, ReachRows, ReachView, RuleView,
};
use meshtrail_event::Timestamp;
use meshtrail_policy::{
    Access, AccessChanges, Changes, CheckPeriod, Decision, DeviceRef, DiffLimits, DifferentMeshes, Direction,
    Fold, LocalUser, LoginQuestion, Mesh, OtherRule, Policy, PortAccess, PossibleChange, ReachRow,
    ReachSource, ReachTarget, Rows, RuleSite, Unmet,
};

/// The most pairs of devices that are answered for.
pub const MAX_PAIRS: usize = 100;

/// The most rows of reach of each kind.
pub const MAX_ROWS: usize = 1_000;

/// The most people, devices or networks that a sentence about a change names on each side; the others are counted.
const MAX_NAMES: usize = 10;

/// Whether logins may be, one for each pair of a device of `from` and one of `to`.
pub fn explain(
    policy: &Policy,
    (from, to): (&[DeviceRef], &[DeviceRef]),
    user: &str,
    at: Timestamp,
    in_force: PolicyInForce,
) -> LoginAnswers {
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
    let logins = pairs.take(MAX_PAIRS).map(|pair| login(policy, pair, user)).collect();
    let left_off = (from.len() * to.len()).saturating_sub(MAX_PAIRS);
    LoginAnswers { at, policy: in_force, logins, left_off }
}

fn login(policy: &Policy, (from, to): (DeviceRef, DeviceRef), user: &str) -> LoginView {
    let answer = policy.login(&LoginQuestion::new(from, to, LocalUser::unknown(user)));
    let mesh = policy.mesh();
    let recording = answer.recording.as_ref();
    LoginView {
        from: describe(mesh, from),
        to: describe(mesh, to),
        user: user.to_owned(),
        decision: match answer.decision {
            Decision::Accept => LoginDecision::Accept,
            Decision::Check => LoginDecision::Check,
            Decision::Deny => LoginDecision::Deny,
        },
        rule: answer.rule.as_ref().map(|site| rule(policy, site)),
        check_period: answer.period.map(|period| match period {
            CheckPeriod::Always => 0,
            CheckPeriod::For(period) => period.as_secs(),
        }),
        recorders: recording.map(|recording| recording.recorders.clone()).unwrap_or_default(),
        recording_enforced: recording.is_some_and(|recording| recording.enforced),
        port: port(&answer.port),
        near: answer.others.iter().map(|other| near(policy, other)).collect(),
        hindrances: answer.hindrances.iter().map(ToString::to_string).collect(),
    }
}

fn port(access: &PortAccess) -> String {
    match access {
        PortAccess::Open(site) => format!("port 22 is open, by {site}"),
        PortAccess::Could(site, conditions) => {
            format!("port 22 would be open, by {site}, if {}", conditions.join(" and "))
        }
        PortAccess::Closed => "port 22 is closed: no acl or grant lets packets through".to_owned(),
    }
}

fn near(policy: &Policy, other: &OtherRule) -> NearRule {
    NearRule {
        rule: rule(policy, &other.site),
        unmet: other.unmet.iter().map(ToString::to_string).collect(),
        open: other.unmet.iter().all(Unmet::is_open),
    }
}

fn rule(policy: &Policy, site: &RuleSite) -> RuleView {
    RuleView { name: site.to_string(), text: policy.rule_text(site).to_owned() }
}

fn describe(mesh: &Mesh, device: DeviceRef) -> String {
    ReachTarget::Device(device).describe(mesh)
}

/// Who can reach any of the targets.
pub fn who_can_reach(
    policy: &Policy,
    targets: &[DeviceRef],
    at: Timestamp,
    in_force: PolicyInForce,
) -> ReachAnswer {
    let (mut certain, mut possible) = (ReachRows::default(), ReachRows::default());
    for target in targets {
        let reach = policy.who_can_reach(&ReachTarget::Device(*target), MAX_ROWS);
        add_rows(policy, &mut certain, &reach.certain);
        add_rows(policy, &mut possible, &reach.possible);
    }
    ReachAnswer { at, policy: in_force, certain, possible }
}

fn add_rows(policy: &Policy, into: &mut ReachRows, from: &Rows) {
    let room = MAX_ROWS.saturating_sub(into.rows.len());
    into.rows.extend(from.rows.iter().take(room).map(|row| reach_view(policy.mesh(), row)));
    into.left_off += from.left_off + from.rows.len().saturating_sub(room);
}

fn reach_view(mesh: &Mesh, row: &ReachRow) -> ReachView {
    let device = match &row.source {
        ReachSource::Device(device) => Some(mesh.device(*device)),
        _ => None,
    };
    ReachView {
        source: row.source.describe(mesh),
        person: row.source.person(mesh).map(|person| mesh.person(person).login.clone()),
        device: device.map(|device| device.id.clone()),
        device_name: device.map(|device| device.name.clone()),
        tags: device.map(|device| device.tags.iter().cloned().collect()).unwrap_or_default(),
        target: row.target.describe(mesh),
        ports: row.ports.to_string(),
        rules: row.rules.iter().map(ToString::to_string).collect(),
        conditions: row.conditions.iter().map(ToString::to_string).collect(),
    }
}

/// What a policy opens and closes against an older one, for the same people and devices.
pub fn diff(
    new: &Policy,
    old: &Policy,
    at: Timestamp,
    in_force: PolicyInForce,
) -> Result<DiffAnswer, DifferentMeshes> {
    let changes = new.changes_since(old, DiffLimits { names: MAX_NAMES, ..DiffLimits::default() })?;
    let mesh = new.mesh();
    let AccessChanges { connections, logins, capabilities, possible, possible_left_off, authority, .. } =
        &changes;
    let words = |direction| if direction == Direction::Opened { "opens" } else { "no longer opens" };
    Ok(DiffAnswer {
        at,
        policy: in_force,
        summary: changes.summary(),
        connections: kind_changes(connections, mesh),
        logins: kind_changes(logins, mesh),
        capabilities: kind_changes(capabilities, mesh),
        possible: possible
            .iter()
            .map(|change| {
                let PossibleChange { direction, rule, text, condition } = change;
                format!("{rule} {} {text}, if {condition}", words(*direction))
            })
            .collect(),
        possible_left_off: *possible_left_off,
        authority: authority.iter().map(|change| change.describe(mesh)).collect(),
        devices_left_out: changes.devices_left_out,
    })
}

fn kind_changes<T: Access>(changes: &Changes<T>, mesh: &Mesh) -> KindChanges {
    let each = |folds: &[Fold<T>]| {
        let one = |fold: &Fold<T>| AccessChange {
            sentence: fold.describe(mesh),
            pairs: fold.connections,
            rules: fold.rules.iter().map(ToString::to_string).collect(),
        };
        folds.iter().map(one).collect()
    };
    KindChanges {
        opened: each(&changes.opened),
        closed: each(&changes.closed),
        opened_left_off: changes.opened_left_off,
        closed_left_off: changes.closed_left_off,
    }
}
