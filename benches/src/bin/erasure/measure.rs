//! Segments and appending with encrypted leaves, beside the same without.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtrail_bench::generator;
use meshtrail_event::{Actor, Device, Event, Family, Person, Target};
use meshtrail_trail::segment::{ColumnTest, EncodedSegment, Predicate, SegmentReader, Selection, encode};
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
/// Events that are appended plain before the same ones are appended encrypted.
const SLICE: usize = 4096;
/// Runs of each case; the least CPU of each part counts.
const RUNS: usize = 5;
/// Events from which the directory is learned: all devices of the generator occur in them.
const LEARNED: usize = 60_000;
/// Keys of people whose derivation is timed.
const MANY_PEOPLE: u32 = 10_000;

/// Tokens whose making is timed.
const MANY_TOKENS: u32 = 100_000;

/// Who is erased.
const ERASED: &str = "alice0@example.com";

/// CPU time of this thread, which does not include other load on the machine.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("processor time is not negative").as_secs_f64()
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

/// What appending made of the events, and the CPU that each slice of them and each segment took.
#[derive(Default)]
struct Appended {
    leaf_bytes: usize,
    families: BTreeMap<Family, Vec<(u64, Vec<u8>)>>,
    hashes: Vec<Hash>,
    segments: Vec<EncodedSegment>,
    leaf_cpu: Vec<f64>,
    segment_cpu: Vec<f64>,
}

impl Appended {
    fn segment_bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }

    fn cpu(&self) -> (f64, f64) {
        (self.leaf_cpu.iter().sum(), self.segment_cpu.iter().sum())
    }

    /// What the CPU does for an append: leaf, encryption, hash, a checksummed frame written to the log.
    fn slice(
        &mut self,
        events: &[Event],
        encrypter: Option<&mut Encrypter<'_>>,
        log: &mut File,
    ) -> Result<()> {
        let (mut encrypter, mut frames) = (encrypter, Vec::new());
        let start = cpu_seconds();
        for (number, event) in events.iter().enumerate() {
            let mut leaf = event.to_leaf();
            if let Some(encrypter) = &mut encrypter {
                leaf = encrypter.encrypt(event, &leaf)?;
            }
            let index = self.hashes.len() as u64;
            self.hashes.push(leaf_hash(&leaf));
            frames.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
            frames.extend_from_slice(&crc32c::crc32c(&leaf).to_le_bytes());
            frames.extend_from_slice(&leaf);
            if (number + 1).is_multiple_of(BATCH) || number + 1 == events.len() {
                log.write_all(&frames)?;
                frames.clear();
            }
            self.leaf_bytes += leaf.len();
            self.families.entry(event.kind.family()).or_default().push((index, leaf));
        }
        self.leaf_cpu.push(cpu_seconds() - start);
        Ok(())
    }

    /// One family's segment, with its check.
    fn segment(&mut self, family: Family) -> Result<()> {
        let rows = self.families.remove(&family).unwrap_or_default();
        let rows: Vec<(u64, &[u8])> = rows.iter().map(|(index, leaf)| (*index, leaf.as_slice())).collect();
        let start = cpu_seconds();
        let segment = encode(family, "main", &rows)?;
        self.segment_cpu.push(cpu_seconds() - start);
        ensure!(segment.stored_whole == 0, "{} leaves of {family} were stored whole", segment.stored_whole);
        self.segments.push(segment);
        Ok(())
    }

    /// Keeps the least that each part took in any run: other load on the machine only ever adds to it.
    fn or_less(mut self, before: Option<Self>) -> Self {
        if let Some(before) = before {
            let parts = self.leaf_cpu.iter_mut().zip(before.leaf_cpu);
            for (now, before) in parts.chain(self.segment_cpu.iter_mut().zip(before.segment_cpu)) {
                *now = now.min(before);
            }
        }
        self
    }
}

/// Appends plain and encrypted in turns, slice by slice, so that other load on the machine meets both.
fn append_both(events: &[Event], encrypter: &mut Encrypter<'_>) -> Result<(Appended, Appended)> {
    let (mut plain, mut encrypted) = (Appended::default(), Appended::default());
    let (mut log, mut encrypted_log) = (tempfile::tempfile()?, tempfile::tempfile()?);
    for slice in events.chunks(SLICE) {
        plain.slice(slice, None, &mut log)?;
        encrypted.slice(slice, Some(encrypter), &mut encrypted_log)?;
    }
    let families: Vec<Family> = plain.families.keys().copied().collect();
    for family in families {
        plain.segment(family)?;
        encrypted.segment(family)?;
    }
    Ok((plain, encrypted))
}

fn compare(name: &str, events: &[Event], directory: &Directory, extent: Extent) -> Result<()> {
    let (mut least_plain, mut least_encrypted) = (None, None);
    let (mut made, mut found) = (0, 0);
    for _ in 0..RUNS {
        let mut encrypter = Encrypter::new(directory, extent)?;
        let (plain, encrypted) = append_both(events, &mut encrypter)?;
        least_plain = Some(plain.or_less(least_plain));
        least_encrypted = Some(encrypted.or_less(least_encrypted));
        (made, found) = (encrypter.made, encrypter.found);
    }
    let (plain, encrypted) = (least_plain.context("no run")?, least_encrypted.context("no run")?);
    let row = |what: &str, plain: f64, encrypted: f64| {
        let (count, ratio) = (events.len() as f64, encrypted / plain);
        println!("  {what:<16} {:>8.2}  {:>8.2}  {ratio:.3} x", plain / count, encrypted / count);
    };
    println!("{name}");
    row("leaf bytes", plain.leaf_bytes as f64, encrypted.leaf_bytes as f64);
    row("segment bytes", plain.segment_bytes() as f64, encrypted.segment_bytes() as f64);
    let (before, after) = (plain.cpu(), encrypted.cpu());
    row("append CPU, µs", (before.0 + before.1) * 1e6, (after.0 + after.1) * 1e6);
    row("  leaf and log", before.0 * 1e6, after.0 * 1e6);
    row("  segment", before.1 * 1e6, after.1 * 1e6);
    println!("  tokens made {made}, found in memory {found}");
    for (plain, encrypted) in plain.segments.iter().zip(&encrypted.segments) {
        let each = |segment: &EncodedSegment| segment.bytes.len() as f64 / segment.rows as f64;
        let (family, rows) = (plain.family.to_string(), plain.rows);
        println!("    {family:<10} {rows:>7} rows  {:>8.2}  {:>8.2}", each(plain), each(encrypted));
    }
    Ok(())
}

/// Opens everything, erases a person, and checks what is left.
async fn erase_one(events: &[Event], directory: &Directory) -> Result<()> {
    let mut encrypter = Encrypter::new(directory, Extent::All)?;
    let (_, appended) = append_both(events, &mut encrypter)?;
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

    let person = directory.number(None, Some(ERASED.as_bytes())).context("the person is in the set")?;
    search(&appended, events, &people, person).await?;
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
    let words = [ERASED, "Alice0 Example", "alice0-"];
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

/// Finds a person's events by tokens that are computed from the login, with the predicates of segments.
async fn search(appended: &Appended, events: &[Event], people: &PersonKeys, person: u32) -> Result<()> {
    let login = format!("{ERASED:?}");
    let days: BTreeSet<i64> = events.iter().map(|event| day_of(event.time.as_nanos())).collect();
    let keys = days.iter().filter_map(|&day| people.day(person, day));
    let tokens: BTreeSet<String> = keys.map(|keys| encrypt_for_person(&keys, login.as_bytes())).collect();
    let accepted = tokens.clone();
    let test = ColumnTest::new("actor_login", move |value| accepted.contains(value));
    let mut selection = Selection::of(0..u64::MAX);
    selection.predicates.push(Predicate { any_of: vec![test] });
    let (mut found, mut read, mut pages) = (0, 0, 0);
    for segment in &appended.segments {
        let reader = SegmentReader::from_bytes("segment", segment.bytes.clone().into())?;
        for page in reader.pages(&selection) {
            pages += 1;
            let rows = reader.read_page(page, &selection).await?;
            read += rows.len();
            let has_token =
                |leaf: &[u8]| tokens.iter().any(|token| String::from_utf8_lossy(leaf).contains(token));
            found += rows.iter().filter(|row| has_token(&row.1)).count();
        }
    }
    let is_theirs = |event: &&Event| event.actor.person.as_ref().is_some_and(|person| person.login == ERASED);
    let expected = events.iter().filter(is_theirs).count();
    ensure!(found == expected, "{found} of {expected} events were found");
    println!(
        "found by {} tokens of the login: {found} events, {read} rows of {pages} pages read",
        tokens.len()
    );
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
