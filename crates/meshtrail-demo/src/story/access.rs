//! Access: sessions on hosts and in pods, requests to Kubernetes, logins that hosts report.

use meshtrail_event::{Detail, Kind, KubeRequest, Login, Outcome, Timestamp};

use super::plan::Plan;
use super::world::{World, source};
use crate::calendar::{HOUR, MINUTE, SECOND};
use crate::company::Company;
use crate::random::Random;
use crate::recording::{DemoRecording, Script, ScriptContext, Terminal, header};

/// Number of recorded sessions, without those of the incident.
const SESSIONS: usize = 120;

/// Number of requests to Kubernetes.
const REQUESTS: usize = 2400;

pub(super) fn plan(plan: &mut Plan, company: &Company) {
    sessions(plan, company);
    requests(plan, company);
}

/// A session of a person on a machine.
pub(super) struct Visit {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) account: &'static str,
    pub(super) script: Script,
    pub(super) pod: Option<(&'static str, &'static str)>,
}

fn sessions(plan: &mut Plan, company: &Company) {
    let mut random = plan.random("sessions");
    for number in 0..SESSIONS {
        let person = random.skewed_index(24);
        let at = plan.days.workday_moment(&mut random, company.people[person].zone);
        // Scripts alternate, so that every few days have all of them.
        let script = Script::DAILY[number % Script::DAILY.len()];
        let (tag, account) = match script {
            Script::Database => ("tag:db", "postgres"),
            Script::Deploy => ("tag:ci", "deploy"),
            Script::Editor | Script::Load | Script::Disk => ("tag:web", "root"),
            _ => ("tag:prod", "ops"),
        };
        plan.add(at, move |world| {
            let machines = world.company.tagged(tag);
            let (Some(from), false) = (world.company.laptop_of(person), machines.is_empty()) else { return };
            let to = *world.random.skewed(&machines);
            play_visit(world, Visit { from, to, account, script, pod: None });
        });
    }
    for _ in 0..16 {
        let person = random.skewed_index(12);
        let at = plan.days.workday_moment(&mut random, company.people[person].zone);
        let pod =
            *random.one(&[("shop", "api-7c9d5b6f4-x2x8k"), ("shop", "worker-0"), ("billing", "ledger-1")]);
        plan.add(at, move |world| {
            let (from, to) = (world.company.laptop_of(person), world.company.machine("operator-prod"));
            if let Some(from) = from {
                play_visit(world, Visit { from, to, account: "", script: Script::Pod, pod: Some(pod) });
            }
        });
    }
}

/// Plays a visit: the session with its recording, and the host's event about the login.
pub(super) fn play_visit(world: &mut World, visit: Visit) -> usize {
    let started = Timestamp::from_nanos(world.now);
    let (cast, millis) = render_recording(world, &visit);
    let ended = started.after(std::time::Duration::from_millis(millis));
    let mut target = world.target(visit.to);
    target.person = None;
    target.account = Some(visit.account.to_owned()).filter(|account| !account.is_empty());
    if let Some((namespace, pod)) = visit.pod {
        target.namespace = Some(namespace.to_owned());
        target.name = Some(pod.to_owned());
        target.of_type = Some("pod".to_owned());
    }
    let port = world.random.between(33_000, 60_000);
    let peer = format!("{}:{port}", world.device(visit.to).addresses[0]);
    let recording = DemoRecording {
        started,
        ended,
        cast,
        actor: world.actor(visit.from),
        identity: world.resolved_identity(),
        target,
        peer,
        recorded_by: world.device(visit.to).name.clone(),
        cut_off: None,
    };
    let on_host = visit.pod.is_none().then_some(visit);
    if let Some(visit) = &on_host {
        login(world, visit, (Kind::SshLogin, None));
    }
    world.open_session(recording, on_host)
}

fn render_recording(world: &mut World, visit: &Visit) -> (Vec<u8>, u64) {
    let (wide, choice) = (world.random.once_in(2), world.random.below(100));
    let random = Random::new(world.random.any());
    let mut terminal = Terminal::new(random, visit.script.screen(wide));
    let device = world.device(visit.to);
    let minute = world.now / MINUTE;
    let context = ScriptContext {
        account: visit.account.to_owned(),
        host: device.label().unwrap_or_default().to_owned(),
        date: month_and_day(Timestamp::from_nanos(world.now)),
        clock: (u64::try_from(minute / 60 % 24).unwrap_or(0), u64::try_from(minute % 60).unwrap_or(0)),
        from: world.device(visit.from).addresses[0].clone(),
    };
    visit.script.play(&mut terminal, &context);
    let header = header::Header {
        actor: &world.actor(visit.from),
        account: visit.account,
        command: visit.script.command(choice),
        started: Timestamp::from_nanos(world.now),
        connection: format!(
            "ssh-conn-{}-{}",
            header::compact_time(Timestamp::from_nanos(world.now)),
            world.random.hex(10)
        ),
        pod: visit.pod,
    };
    let header = header.to_json(terminal.screen);
    terminal.finish(&header)
}

fn month_and_day(at: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, month, day) = at.date();
    format!("{} {day:2}", MONTHS[usize::from(month.clamp(1, 12)) - 1])
}

/// The host's event about a login or logout.
pub(super) fn login(world: &mut World, visit: &Visit, (kind, refused): (Kind, Option<&str>)) {
    let mut draft = world.draft(kind);
    (draft.actor, draft.identity) = (world.actor(visit.from), world.resolved_identity());
    draft.target = world.target(visit.to);
    draft.target.person = None;
    draft.target.account = Some(visit.account.to_owned());
    if refused.is_some() {
        draft.outcome = Outcome::Denied;
    }
    let port = world.random.between(33_000, 60_000);
    draft.detail = Some(Detail::Login(Box::new(Login {
        method: Some("tailscale".to_owned()),
        peer: Some(format!("{}:{port}", world.device(visit.from).addresses[0])),
        pid: Some(world.random.between(1000, 60_000)),
        reason: refused.map(str::to_owned),
        service: Some("tailscaled".to_owned()),
        ..Login::default()
    })));
    world.emit(source::HOSTS, draft);
}

fn requests(plan: &mut Plan, company: &Company) {
    let mut random = plan.random("requests");
    for number in 0..REQUESTS {
        let machine_made = number % 4 == 0;
        let person = random.skewed_index(18);
        let at = match machine_made {
            true => plan.days.moment(&mut random),
            false => plan.days.workday_moment(&mut random, company.people[person].zone),
        };
        plan.add(at, move |world| {
            let from = match machine_made {
                true => Some(world.company.machine("ci-runner-1")),
                false => world.company.laptop_of(person),
            };
            if let Some(from) = from {
                request(world, from);
            }
        });
    }
    refusals(plan);
}

fn request(world: &mut World, from: usize) {
    let random = &mut world.random;
    let verb = *random.skewed(&["get", "list", "watch", "patch", "create", "delete"]);
    let resource = *random.skewed(&["pods", "deployments", "configmaps", "secrets", "jobs"]);
    let namespace = *random.skewed(&["shop", "billing", "search", "kube-system"]);
    let name = format!("{}-{}", &resource[..resource.len() - 1], random.hex(5));
    let denied = resource == "secrets" && random.once_in(3);
    let latency = random.between(2_000_000, 90_000_000);
    let to = world.company.machine("operator-prod");
    let mut draft = world.draft(Kind::KubeRequestDone);
    (draft.actor, draft.identity) = (world.actor(from), world.resolved_identity());
    draft.target = world.target(to);
    draft.target.namespace = Some(namespace.to_owned());
    draft.target.of_type = Some(resource.to_owned());
    draft.target.name = Some(name.clone());
    draft.outcome = if denied { Outcome::Denied } else { Outcome::Success };
    let api_group = matches!(resource, "deployments").then(|| "apps".to_owned());
    draft.detail = Some(Detail::Kube(Box::new(KubeRequest {
        api_group,
        api_version: Some("v1".to_owned()),
        latency: Some(latency),
        method: Some(method(verb).to_owned()),
        path: Some(format!("/api/v1/namespaces/{namespace}/{resource}/{name}")),
        resource: Some(resource.to_owned()),
        status: Some(if denied { 403 } else { 200 }),
        user_agent: Some("kubectl/v1.33.3 (linux/amd64)".to_owned()),
        verb: Some(verb.to_owned()),
        ..KubeRequest::default()
    })));
    world.emit(source::KUBE, draft);
}

fn method(verb: &str) -> &'static str {
    match verb {
        "patch" => "PATCH",
        "create" => "POST",
        "delete" => "DELETE",
        _ => "GET",
    }
}

/// Logins that the policy denies.
fn refusals(plan: &mut Plan) {
    let mut random = plan.random("refusals");
    for _ in 0..22 {
        let (person, at) = (random.between(6, 38) as usize, plan.days.moment(&mut random));
        plan.add(at / HOUR * HOUR + 9 * SECOND, move |world| {
            let Some(from) = world.company.laptop_of(person) else { return };
            let to = *world.random.one(&world.company.tagged("tag:db"));
            let tried = Visit { from, to, account: "root", script: Script::Command, pod: None };
            login(world, &tried, (Kind::SshLogin, Some("the tailnet policy does not permit it")));
        });
    }
}
