//! The policy evaluator: compiling a policy of 1 MB for 10,000 devices of 1,000 people, each question, and diffs.
//!
//! `cargo run --release -p meshtrail-bench --bin policy -- [--devices N] [--people N] [--bytes N]`
//!
//! People own four of ten devices, tags the others; one device in a hundred is a router. Groups, rules of `acls`, `grants` and
//! `ssh`, postures and capabilities are random with a fixed seed, in proportions of large tailnets: most rules are of a group to
//! a tag, a few are of everybody. Times are processor time of the one thread that works. Questions are asked of random
//! devices; the slowest is shown beside the median. The last diff is of two policies that have no group in common, the worst
//! case for folding.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use meshtrail_bench::generator::Random;
use meshtrail_policy::{
    AttributeValue, Attributes, ControlPlane, DEFAULT_ROWS, Device, DeviceRef, DiffLimits, Directory,
    LocalUser, LoginQuestion, Mesh, Person, Policy, ReachTarget, Role,
};

/// Processor time of this thread.
struct Stopwatch(Duration);

impl Stopwatch {
    fn start() -> Self {
        Self(Self::now())
    }

    fn elapsed(&self) -> Duration {
        Self::now() - self.0
    }

    fn now() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("processor time is not negative")
    }
}

#[derive(Parser)]
struct Args {
    /// How many devices there are.
    #[arg(long, default_value_t = 10_000)]
    devices: usize,
    /// How many people there are.
    #[arg(long, default_value_t = 1_000)]
    people: usize,
    /// How long the policy is, in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    bytes: usize,
}

/// How many questions of each kind are asked.
const QUESTIONS: u64 = 1_000;

const TAGS: usize = 400;
const GROUPS: usize = 300;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let before = resident()?;
    let start = Stopwatch::start();
    let mesh = Mesh::new(directory(&args));
    println!("mesh: {} devices, {} people, indexed in {:.1?}", args.devices, args.people, start.elapsed());
    let text = policy(&args, 1, args.bytes);
    let start = Stopwatch::start();
    let compiled = Policy::compile(&text, ControlPlane::Tailscale, &mesh)?;
    let size = compiled.size();
    println!(
        "compile: {} bytes, {} access rules, {} ssh rules, {} selectors: {:.1?}",
        text.len(),
        size.access_rules,
        size.ssh_rules,
        size.selectors,
        start.elapsed()
    );
    println!("memory: {:.0} MB, {:.0} MB while it was compiled", resident()? - before, peak()? - before);
    questions(&compiled, &mesh, args.devices);
    println!("memory: at most {:.0} MB", peak()? - before);
    diffs(&args, &text, &compiled, &mesh, before)?;
    Ok(())
}

fn directory(args: &Args) -> Directory {
    let mut random = Random::new(3);
    let person = |number| Person {
        login: format!("person{number}@example.com"),
        role: Some(if number % 100 == 0 { Role::Admin } else { Role::Member }),
        ..Person::default()
    };
    let mut devices = Vec::new();
    for number in 0..args.devices {
        let mut device = Device {
            id: format!("n{number}"),
            name: format!("device-{number}"),
            addresses: vec![
                format!("100.{}.{}.{}", 64 + number / 65_536, (number / 256) % 256, number % 256)
                    .parse()
                    .expect("an address"),
                format!("fd7a:115c:a1e0::{number:x}").parse().expect("an address"),
            ],
            attributes: attributes(&mut random),
            ..Device::default()
        };
        if number % 10 < 4 {
            device.owner = Some(format!("person{}@example.com", random.below(args.people)));
        } else {
            device.tags = (0..=random.below(2)).map(|_| tag(&mut random)).collect();
        }
        if number % 100 == 9 {
            let site = number / 100 % 65_536;
            device.routes = vec![format!("10.{}.{}.0/24", site / 256, site % 256).parse().expect("a route")];
        }
        devices.push(device);
    }
    Directory {
        domains: ["example.com".to_owned()].into(),
        people: (0..args.people).map(person).collect(),
        devices,
    }
}

fn attributes(random: &mut Random) -> Attributes {
    let systems = ["linux", "macos", "windows"];
    let system = systems[random.below(3)];
    let values = [
        ("node:os".to_owned(), AttributeValue::Text(system.to_owned())),
        ("node:tsVersion".to_owned(), AttributeValue::Text(format!("1.{}.0", 60 + random.below(40)))),
    ];
    Attributes { values: values.into(), complete: random.below(10) > 0 }
}

fn tag(random: &mut Random) -> String {
    format!("tag:t{}", random.below(TAGS))
}

fn group(random: &mut Random) -> String {
    format!("group:g{}", random.below(GROUPS))
}

/// A policy of about so many bytes.
fn policy(args: &Args, seed: u64, bytes: usize) -> String {
    let mut random = Random::new(seed);
    let mut text = String::from("{\n  \"groups\": {\n");
    for number in 0..GROUPS {
        let size = 5 + random.below(if number % 20 == 0 { 300 } else { 40 });
        let people: Vec<String> =
            (0..size).map(|_| format!("\"person{}@example.com\"", random.below(args.people))).collect();
        _ = writeln!(text, "    \"group:g{number}\": [{}],", people.join(", "));
    }
    text.push_str("  },\n  \"tagOwners\": {\n");
    for number in 0..TAGS {
        _ = writeln!(text, "    \"tag:t{number}\": [\"{}\"],", group(&mut random));
    }
    text.push_str("  },\n  \"postures\": {\"posture:current\": [\"node:tsVersion >= '1.80'\", \"node:os IN ['linux', 'macos']\"]},\n");
    let acls = bytes.saturating_sub(text.len()) / 2;
    section(&mut text, "acls", acls, &mut random, acl);
    let grants = bytes.saturating_sub(text.len()) * 2 / 3;
    section(&mut text, "grants", grants, &mut random, grant);
    let ssh = bytes.saturating_sub(text.len());
    section(&mut text, "ssh", ssh, &mut random, ssh_rule);
    text.push_str("}\n");
    text
}

fn section(
    text: &mut String,
    name: &str,
    bytes: usize,
    random: &mut Random,
    rule: fn(&mut Random) -> String,
) {
    let end = text.len() + bytes;
    _ = writeln!(text, "  \"{name}\": [");
    while text.len() < end {
        _ = writeln!(text, "    {},", rule(random));
    }
    text.push_str("  ],\n");
}

fn acl(random: &mut Random) -> String {
    let source = match random.below(200) {
        0 => "autogroup:member".to_owned(),
        1..20 => tag(random),
        20..40 => format!("person{}@example.com", random.below(1_000)),
        _ => group(random),
    };
    let target = match random.below(400) {
        0 => "autogroup:self".to_owned(),
        1..40 if !source.starts_with("tag") => format!("10.0.{}.0/24", random.below(100)),
        _ => tag(random),
    };
    let source = if target == "autogroup:self" { "autogroup:member".to_owned() } else { source };
    let port = [22, 80, 443, 3306, 5432, 8080, 9090][random.below(7)];
    format!("{{\"action\": \"accept\", \"src\": [\"{source}\"], \"dst\": [\"{target}:{port}\"]}}")
}

fn grant(random: &mut Random) -> String {
    let posture = if random.below(5) == 0 { ", \"srcPosture\": [\"posture:current\"]" } else { "" };
    let app = if random.below(10) == 0 {
        ", \"app\": {\"tailscale.com/cap/kubernetes\": [{\"impersonate\": {\"groups\": [\"view\"]}}]}"
    } else {
        ""
    };
    let (source, target) = (group(random), tag(random));
    let port = 1_000 + random.below(20);
    format!("{{\"src\": [\"{source}\"], \"dst\": [\"{target}\"], \"ip\": [\"tcp:{port}\"]{app}{posture}}}")
}

fn ssh_rule(random: &mut Random) -> String {
    let action = if random.below(2) == 0 { "accept" } else { "check" };
    let (source, target) = (group(random), tag(random));
    format!(
        "{{\"action\": \"{action}\", \"src\": [\"{source}\"], \"dst\": [\"{target}\"], \"users\": [\"autogroup:nonroot\", \"root\"]}}"
    )
}

fn questions(policy: &Policy, mesh: &Mesh, devices: usize) {
    let all: Vec<DeviceRef> = mesh.devices().collect();
    let mut random = Random::new(11);
    let mut pick = move || all[random.below(devices)];
    time("may this login be", || {
        let question = LoginQuestion::new(pick(), pick(), LocalUser::with_uid("deploy", 1000));
        black_box(policy.login(&question));
    });
    time("who can reach a device", || {
        black_box(policy.who_can_reach(&ReachTarget::Device(pick()), DEFAULT_ROWS));
    });
    time("what a device can reach", || {
        black_box(policy.reachable_from(pick(), DEFAULT_ROWS));
    });
    time("capabilities of a peer", || {
        black_box(policy.capabilities(pick(), pick()));
    });
}

/// Asks so many questions, and prints the median and the slowest.
fn time(name: &str, mut ask: impl FnMut()) {
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..QUESTIONS {
        let start = Stopwatch::start();
        ask();
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let (median, p99, slowest) = (took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1]);
    println!("{name}: median {median:.2?}, p99 {p99:.2?}, slowest of {QUESTIONS} {slowest:.2?}");
}

fn diffs(args: &Args, text: &str, old: &Policy, mesh: &Mesh, before: f64) -> anyhow::Result<()> {
    let (names, dba) = ("\"group:g7\": [", "\"group:g7\": [\"person1@example.com\", ");
    let joined = text.replacen(names, dba, 1);
    let everybody = text.replacen(
        "\"acls\": [",
        "\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:22\"]},",
        1,
    );
    let other = policy(args, 2, args.bytes);
    for (name, text) in [
        ("one person joins a group", &joined),
        ("everybody to everything", &everybody),
        ("another policy altogether", &other),
    ] {
        let new = Policy::compile(text, ControlPlane::Tailscale, mesh)?;
        let start = Stopwatch::start();
        let changes = new.changes_since(old, DiffLimits::default())?;
        println!(
            "diff, {name}: {:.2?}, at most {:.0} MB so far; {}; {} folds, {} left off",
            start.elapsed(),
            peak()? - before,
            changes.summary(),
            changes.connections.opened.len() + changes.connections.closed.len(),
            changes.connections.opened_left_off + changes.connections.closed_left_off,
        );
    }
    Ok(())
}

/// Resident memory, in MB.
fn resident() -> anyhow::Result<f64> {
    status("VmRSS:")
}

/// The most resident memory so far, in MB.
fn peak() -> anyhow::Result<f64> {
    status("VmHWM:")
}

fn status(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context("no such line in /proc/self/status")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}
