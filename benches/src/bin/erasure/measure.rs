//! Segments and appending with encrypted leaves, beside the same without.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use meshtrail_bench::generator;
use meshtrail_event::{Actor, Device, Event, Family, Person, Target};
use meshtrail_trail::segment::{EncodedSegment, encode};
use meshtrail_trail::tree::{Hash, leaf_hash};

use crate::directory::Directory;
use crate::encrypt::{Encrypter, day_of};
use crate::erase;
use crate::keys::{PersonKeys, ValueKeys};
use crate::open::Opener;
use crate::personal::Extent;
use crate::proofs::{Tree, check, leaves_of};
use crate::token::{encrypt_alone, encrypt_for_person};

/// Events of one write to the log.
const BATCH: usize = 100;
/// Runs of each case; the least CPU of each part counts.
const RUNS: usize = 5;
/// Events from which the directory is learned: all devices of the generator occur in them.
const LEARNED: usize = 60_000;
/// Keys of people whose derivation is timed.
const MANY_PEOPLE: u32 = 10_000;

/// Tokens whose making is timed.
const MANY_TOKENS: u32 = 100_000;

/// CPU time of this thread, which does not include other load on the machine.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

pub(crate) async fn run(count: usize) -> Result<()> {
    let learned: Vec<Event> = generator::events(1).take(LEARNED).collect();
    let directory = Directory::of(learned.iter());
    println!("{count} events of each set; the directory has {} people", directory.profiles.len());
    let mixed: Vec<Event> = opaque(generator::events(1).take(count)).collect();
    compare("mixed", &mixed, &directory, Extent::All)?;
    compare("mixed, without free text", &mixed, &directory, Extent::WithoutFreeText)?;
    erase_one(&mixed, &directory).await?;
    drop(mixed);
    let flows: Vec<Event> = opaque(generator::flows(1).take(count)).collect();
    compare("flows", &flows, &directory, Extent::All)?;
    drop(flows);
    let owned: Vec<Event> = opaque(generator::flows(1).take(count)).map(with_owned_far_end).collect();
    let directory = Directory::of(
        learned.into_iter().chain(owned.iter().take(LEARNED).cloned()).collect::<Vec<_>>().iter(),
    );
    compare("flows between people", &owned, &directory, Extent::All)?;
    keys()
}

/// Agents' sources without the names of devices, as docs/erasure.md wants them.
fn opaque(events: impl Iterator<Item = Event>) -> impl Iterator<Item = Event> {
    let mut names = BTreeMap::new();
    events.map(move |mut event| {
        if event.id.source.as_str().ends_with(".agent") {
            let next = names.len();
            let number = *names.entry(event.id.source.clone()).or_insert(next);
            let name = format!("node-{:05x}.agent", 0x5a3c1 ^ (number * 7919));
            event.id.source = name.parse().expect("a source's name");
        }
        event
    })
}

/// A flow whose far end is a person's device and says so: the most that a flow can hold.
fn with_owned_far_end(mut event: Event) -> Event {
    if let Some(meshtrail_event::Detail::Flow(flow)) = &event.detail
        && let (Some(node), Some(dst)) = (&flow.dst_node, &flow.dst)
    {
        let login = format!("{}@example.com", &node[..9]);
        let address = dst.rsplit_once(':').map_or(dst.as_str(), |parts| parts.0).to_owned();
        let device = Device { id: Some(node.clone()), addresses: vec![address], ..Device::default() };
        let person = Person { login, ..Person::default() };
        event.target =
            Target { device: Some(device.into()), person: Some(person.into()), ..Target::default() };
    }
    // The near end has its address in the leaf as well, so that the directory learns it.
    if let (Some(meshtrail_event::Detail::Flow(flow)), Some(device)) = (&event.detail, &event.actor.device)
        && let Some(src) = &flow.src
    {
        let address = src.rsplit_once(':').map_or(src.as_str(), |parts| parts.0).to_owned();
        let device = Device { addresses: vec![address], ..Device::clone(device) };
        event.actor = Actor { device: Some(device.into()), ..event.actor.clone() };
    }
    event
}

/// What appending made of the events, and what it took.
struct Appended {
    leaf_bytes: usize,
    segments: Vec<EncodedSegment>,
    hashes: Vec<Hash>,
    leaf_cpu: f64,
    encode_cpu: f64,
}

impl Appended {
    fn segment_bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }

    fn cpu(&self) -> f64 {
        self.leaf_cpu + self.encode_cpu
    }
}

/// Other load on the machine only ever adds to what a part takes.
fn keep_least(least: &mut Option<Appended>, run: Appended) {
    let before = least.take().map_or((f64::MAX, f64::MAX), |least| (least.leaf_cpu, least.encode_cpu));
    let (leaf_cpu, encode_cpu) = (run.leaf_cpu.min(before.0), run.encode_cpu.min(before.1));
    *least = Some(Appended { leaf_cpu, encode_cpu, ..run });
}

/// What the CPU does for an append: leaf, encrypting, hash, a checksummed frame written to the log, the segment with its check.
fn append(events: &[Event], mut encrypter: Option<&mut Encrypter<'_>>) -> Result<Appended> {
    let mut families: BTreeMap<Family, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    let mut hashes = Vec::with_capacity(events.len());
    let mut log: File = tempfile::tempfile()?;
    let (mut frames, mut leaf_bytes) = (Vec::new(), 0);
    let start = cpu_seconds();
    for (index, event) in (0u64..).zip(events) {
        let mut leaf = event.to_leaf();
        if let Some(encrypter) = &mut encrypter {
            leaf = encrypter.encrypt(event, &leaf)?;
        }
        hashes.push(leaf_hash(&leaf));
        frames.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
        frames.extend_from_slice(&crc32c::crc32c(&leaf).to_le_bytes());
        frames.extend_from_slice(&leaf);
        if (index as usize + 1).is_multiple_of(BATCH) {
            log.write_all(&frames)?;
            frames.clear();
        }
        leaf_bytes += leaf.len();
        families.entry(event.kind.family()).or_default().push((index, leaf));
    }
    let leaf_cpu = cpu_seconds() - start;
    let start = cpu_seconds();
    let mut segments = Vec::new();
    for (&family, rows) in &families {
        let rows: Vec<(u64, &[u8])> = rows.iter().map(|(index, leaf)| (*index, leaf.as_slice())).collect();
        let segment = encode(family, "main", &rows)?;
        ensure!(segment.stored_whole == 0, "{} leaves of {family} were stored whole", segment.stored_whole);
        segments.push(segment);
    }
    Ok(Appended { leaf_bytes, segments, hashes, leaf_cpu, encode_cpu: cpu_seconds() - start })
}

fn compare(name: &str, events: &[Event], directory: &Directory, extent: Extent) -> Result<()> {
    let (mut plain, mut encrypted) = (None, None);
    let (mut made, mut found) = (0, 0);
    for _ in 0..RUNS {
        keep_least(&mut plain, append(events, None)?);
        let mut encrypter = Encrypter::new(directory, extent)?;
        keep_least(&mut encrypted, append(events, Some(&mut encrypter))?);
        (made, found) = (encrypter.made, encrypter.found);
    }
    let (plain, encrypted) = (plain.context("no run")?, encrypted.context("no run")?);
    let each = |bytes: usize| bytes as f64 / events.len() as f64;
    let micros = |seconds: f64| seconds * 1e6 / events.len() as f64;
    println!("{name}");
    println!(
        "  leaf bytes      {:>8.1}  {:>8.1}  {:.2} x",
        each(plain.leaf_bytes),
        each(encrypted.leaf_bytes),
        encrypted.leaf_bytes as f64 / plain.leaf_bytes as f64
    );
    println!(
        "  segment bytes   {:>8.2}  {:>8.2}  {:.3} x",
        each(plain.segment_bytes()),
        each(encrypted.segment_bytes()),
        encrypted.segment_bytes() as f64 / plain.segment_bytes() as f64
    );
    println!(
        "  append CPU, µs  {:>8.2}  {:>8.2}  {:.2} x",
        micros(plain.cpu()),
        micros(encrypted.cpu()),
        encrypted.cpu() / plain.cpu()
    );
    println!("    leaf and log  {:>8.2}  {:>8.2}", micros(plain.leaf_cpu), micros(encrypted.leaf_cpu));
    println!("    segment       {:>8.2}  {:>8.2}", micros(plain.encode_cpu), micros(encrypted.encode_cpu));
    println!("    tokens made {made}, found in memory {found}");
    for segment in &encrypted.segments {
        let same = plain.segments.iter().find(|other| other.family == segment.family);
        let same = same.map_or(0, |same| same.bytes.len());
        let rows = segment.rows as f64;
        println!(
            "    {:<10} {:>7} rows  {:>8.2}  {:>8.2}",
            segment.family.to_string(),
            segment.rows,
            same as f64 / rows,
            segment.bytes.len() as f64 / rows
        );
    }
    Ok(())
}

/// Opens everything, erases a person, and checks what is left.
async fn erase_one(events: &[Event], directory: &Directory) -> Result<()> {
    let mut encrypter = Encrypter::new(directory, Extent::All)?;
    let appended = append(events, Some(&mut encrypter))?;
    let leaves = leaves_of(&appended.segments).await?;
    let tree = Tree::of(appended.hashes.iter().copied());
    let proofs: Vec<_> = (0..1000).map(|number| tree.proof(number * leaves.len() as u64 / 1000)).collect();
    check(&proofs, &leaves)?;
    let (mut people, mut values) = (encrypter.people, encrypter.values);

    let start = cpu_seconds();
    let mut opener = Opener::new(&mut people, &mut values, false);
    for (encrypted, event) in leaves.iter().zip(events) {
        ensure!(opener.open(encrypted)?.leaf == event.to_leaf(), "{} does not open as it was", event.id);
    }
    let opening = (cpu_seconds() - start) * 1e6 / events.len() as f64;
    println!(
        "opened all: {opening:.2} µs an event (making the leaf to compare with included), each byte for byte"
    );

    let person = directory.number(None, Some(b"alice0@example.com")).context("alice0 is in the set")?;
    let start = Instant::now();
    let plan = erase::plan(directory, person, &mut people, &mut values, &leaves)?;
    println!(
        "erasure of one of {} people: {} events, {} keys of values, planned in {:.2} s by reading every leaf",
        directory.profiles.len(),
        plan.events.len(),
        plan.numbers.len(),
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    erase::execute(person, &plan, &mut people, &mut values);
    println!(
        "  destroyed in {:.0} ms; value keys then take {} bytes for {} values",
        start.elapsed().as_secs_f64() * 1e3,
        values.stored().len(),
        values.used
    );
    let words = ["alice0@example.com", "Alice0 Example", "alice0-"];
    let mut opener = Opener::new(&mut people, &mut values, false);
    let (mut found, mut changed) = (0, 0);
    for (encrypted, event) in leaves.iter().zip(events) {
        let opened = opener.open(encrypted)?.leaf;
        changed += usize::from(opened != event.to_leaf());
        let text = String::from_utf8_lossy(&opened);
        found += words.iter().filter(|&&word| text.contains(word)).count();
    }
    ensure!(found == 0, "{found} words are left");
    ensure!(changed == plan.events.len(), "{changed} events changed, {} were planned", plan.events.len());
    check(&proofs, &leaves_of(&appended.segments).await?)?;
    println!("  no word left; {changed} events show less, all others as before; 1,000 proofs of before hold");
    Ok(())
}

/// Time to derive the keys and handles of many people for one day.
fn keys() -> Result<()> {
    let mut people = PersonKeys::default();
    let day = day_of(1_763_359_200_000_000_000);
    for person in 0..MANY_PEOPLE {
        people.day_for_encryption(person, day)?;
    }
    let start = cpu_seconds();
    people.person_of(&[0; 32], day + 1);
    let each = (cpu_seconds() - start) * 1e6 / f64::from(MANY_PEOPLE);
    println!("a day's keys of one person: {each:.2} µs");
    let keys = people.day(0, day).context("the person has keys")?;
    let value = b"\"magicsock: disco: node [n1234567890] now using 192.168.17.4:41641 mtu=1360\"";
    let start = cpu_seconds();
    let length: usize = (0..MANY_TOKENS).map(|_| encrypt_for_person(&keys, &value[..30]).len()).sum();
    let person = (cpu_seconds() - start) * 1e6 / f64::from(MANY_TOKENS);
    let (mut values, start) = (ValueKeys::new()?, cpu_seconds());
    for _ in 0..MANY_TOKENS {
        values.next()?;
    }
    let next = (cpu_seconds() - start) * 1e6 / f64::from(MANY_TOKENS);
    let (_, key) = values.next()?;
    let start = cpu_seconds();
    let length = length
        + (0..MANY_TOKENS).map(|number| encrypt_alone(&key, None, (0, number), value).len()).sum::<usize>();
    let alone = (cpu_seconds() - start) * 1e6 / f64::from(MANY_TOKENS);
    println!(
        "a token of a person: {person:.2} µs; a value's key: {next:.2} µs, its token: {alone:.2} µs ({length} bytes)"
    );
    Ok(())
}
