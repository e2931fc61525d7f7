//! Enrichment: the actor and the target of an event from two addresses at its time, with 100,000 devices and a year of
//! their history; and the time in which the directory learns that year.
//!
//! `cargo run --release -p meshtrail-bench --bin enrich -- [--devices N] [--seconds S]`
//!
//! Devices are renamed, retagged, transferred and removed; addresses move from one device to the next. Lookups are
//! skewed as in real traffic, where a few devices cause most of it, and in a second case uniform: then most entries are
//! not in the processor's caches. Event times are in the last ten minutes, as on arrival, or in the last month, as for
//! late uploads: a third of those look up a state that has changed since.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use clap::Parser;
use meshtrail_bench::generator::Random;
use meshtrail_event::{
    Change, Detail, DeviceState, Draft, EventId, Json, Kind, SourceName, Target, Timestamp, UserState,
};
use meshtrail_identity::{EventAddresses, History};

/// Changes of each device in the year, on average.
const CHANGES: usize = 9;

/// A year, in seconds.
const YEAR: usize = 365 * 86_400;

/// When the year begins.
const BEGIN: i64 = 1_764_000_000;

#[derive(Parser)]
struct Args {
    /// How many devices there are at a time.
    #[arg(long, default_value_t = 100_000)]
    devices: usize,
    /// How long each case runs.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let leaves = year(args.devices)?;
    let history = History::new();
    let start = Instant::now();
    for chunk in leaves.chunks(4096) {
        history.learn_leaves(chunk.iter().map(Vec::as_slice));
    }
    let took = start.elapsed();
    println!(
        "learn: {} events in {took:.2?}, {:.2?} each",
        leaves.len(),
        took / u32::try_from(leaves.len())?
    );
    drop(leaves);
    let (minutes, month) = (600, YEAR / 12);
    for (name, skewed, span) in [
        ("as they come in", true, minutes),
        ("as they come in, all devices alike", false, minutes),
        ("a month late", true, month),
        ("a month late, all devices alike", false, month),
    ] {
        let mut random = Random::new(7);
        let mut ask = move || {
            let pick = |random: &mut Random| {
                let at = random.below(args.devices);
                // Cubing the fraction gives the first hundredth of the devices a fifth of the traffic.
                let skew = ((at as u128).pow(3) / (args.devices as u128).pow(2)) as usize;
                address(if skewed { skew } else { at })
            };
            let time = instant(YEAR - 1 - random.below(span));
            (pick(&mut random), pick(&mut random), time)
        };
        let at =
            nanos_per_run(args.seconds, &mut ask, |(near, _, time)| drop(black_box(history.at(near, time))));
        let both = nanos_per_run(args.seconds, &mut ask, |(near, far, time)| {
            let mut draft = Draft::new(Kind::FlowCounted, time);
            history.enrich(&mut draft, EventAddresses { near: Some(near), far: Some(far) });
            drop(black_box(draft));
        });
        let one = nanos_per_run(args.seconds, &mut ask, |(near, _, time)| {
            let mut draft = Draft::new(Kind::FlowCounted, time);
            history.enrich(&mut draft, EventAddresses { near: Some(near), far: None });
            drop(black_box(draft));
        });
        println!("{name}: look-up {at} ns, an event's actor {one} ns, its actor and target {both} ns");
    }
    Ok(())
}

/// Nanoseconds per `run`, measured for `seconds`.
fn nanos_per_run<T>(seconds: u64, ask: &mut impl FnMut() -> T, mut run: impl FnMut(T)) -> u128 {
    let (mut spent, mut count) = (Duration::ZERO, 0u128);
    while spent < Duration::from_secs(seconds) {
        let inputs: Vec<T> = (0..4096).map(|_| ask()).collect();
        let start = Instant::now();
        for one in inputs {
            run(one);
        }
        spent += start.elapsed();
        count += 4096;
    }
    spent.as_nanos() / count
}

fn address(device: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x6440_0000 + (device & 0x3f_ffff) as u32).into()
}

fn instant(second: usize) -> Timestamp {
    Timestamp::from_nanos((BEGIN + second as i64) * 1_000_000_000)
}

/// The year's events in order of time.
fn year(devices: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut random = Random::new(1);
    let mut states: Vec<DeviceState> = (0..devices).map(|number| state(number, 0, &mut random)).collect();
    let source: SourceName = "bench.snapshot".parse()?;
    let mut leaves = Vec::new();
    let mut push = |kind, second, target: (&str, &str), change: Change| {
        let mut draft = Draft::new(kind, instant(second));
        draft.target.of_type = Some(target.0.to_owned());
        draft.target = Target { id: Some(target.1.to_owned()), ..draft.target };
        draft.detail = Some(Detail::Change(Box::new(Change { origin: Some("snapshot".into()), ..change })));
        let id = EventId { source: source.clone(), epoch: 1, sequence: leaves.len() as u64 + 1 };
        leaves.push(draft.into_event(id, instant(second)).to_leaf());
    };
    let json = |state: &DeviceState| anyhow::Ok(Json::from(&serde_json::to_value(state)?));
    for person in 0..devices / 5 {
        let user = UserState {
            id: format!("u{person}"),
            login: login(person),
            name: Some(format!("Person {person}")),
            groups: ["group:eng".to_owned(), format!("group:team-{}", person % 50)].into(),
            ..UserState::default()
        };
        let new = Json::from(&serde_json::to_value(&user)?);
        push(Kind::ConfigSnapshot, 0, ("user", &user.id), Change { new: Some(new), ..Change::default() });
    }
    for state in &states {
        push(
            Kind::ConfigSnapshot,
            0,
            ("device", &state.id),
            Change { new: Some(json(state)?), ..Change::default() },
        );
    }
    let changes = devices * CHANGES;
    for change in 1..=changes {
        let second = change * (YEAR - 2) / changes;
        let number = random.below(devices);
        let old = states[number].clone();
        let new = match random.below(4) {
            0 => DeviceState { name: Some(format!("renamed-{change}.tail.example")), ..old.clone() },
            1 => DeviceState {
                owner: Some(login(random.below(devices / 5))),
                tags: Default::default(),
                ..old.clone()
            },
            2 => DeviceState { client_version: Some(format!("1.98.{}", change % 90)), ..old.clone() },
            _ => state(number, change, &mut random),
        };
        if new.id != old.id {
            let gone = Change { old: Some(json(&old)?), ..Change::default() };
            push(Kind::DeviceRemoved, second, ("device", &old.id), gone);
        }
        let update = Change { new: Some(json(&new)?), ..Change::default() };
        push(Kind::DeviceChanged, second + 1, ("device", &new.id), update);
        states[number] = new;
    }
    Ok(leaves)
}

fn login(person: usize) -> String {
    format!("person{person}@example.com")
}

/// The device that has the `number`th address after `change`.
fn state(number: usize, change: usize, random: &mut Random) -> DeviceState {
    let tagged = random.below(4) == 0;
    let v6 = format!("fd7a:115c:a1e0::{:x}:{:x}", number >> 16, number & 0xffff);
    DeviceState {
        id: format!("n{number}-{change}CNTRL"),
        name: Some(format!("device-{number}-{change}.tail9c2a.ts.net")),
        hostname: Some(format!("device-{number}")),
        os: Some("linux".to_owned()),
        addresses: std::iter::once(address(number)).chain(v6.parse()).collect(),
        owner: (!tagged).then(|| login(random.below(20_000))),
        tags: if tagged { [format!("tag:role-{}", number % 40)].into() } else { Default::default() },
        node_key: Some(format!("nodekey:{number:032x}{change:032x}")),
        authorized: Some(true),
        ..DeviceState::default()
    }
}
