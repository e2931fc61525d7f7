//! A case from a file: encrypt, plan, erase, write what is left.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use meshtrail_event::{Event, Family, Timestamp};
use meshtrail_trail::segment::{EncodedSegment, encode};
use meshtrail_trail::tree::leaf_hash;

use crate::directory::{Directory, Profile};
use crate::encrypt::{Encrypter, day_of};
use crate::erase;
use crate::keys::{PersonKeys, ValueKeys};
use crate::open::Opener;
use crate::personal::Extent;
use crate::proofs::{Tree, check, leaves_of};
use crate::token::{encrypt_alone, encrypt_for_person};

pub(crate) async fn run(file: &Path, person: &str, output: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let read = |line: &str| Event::from_source(line.as_bytes(), Timestamp::now());
    let events: Vec<Event> = text.lines().map(read).collect::<Result<_, _>>()?;
    let directory = Directory::of(events.iter());
    let person = one_person(&directory, person)?;

    let mut encrypter = Encrypter::new(&directory, Extent::All)?;
    let encrypted = events.iter().map(|event| encrypter.encrypt(event, &event.to_leaf()));
    let encrypted: Vec<Vec<u8>> = encrypted.collect::<Result<_>>()?;
    let segments = segments(&events, &encrypted)?;
    let leaves = leaves_of(&segments).await?;
    ensure!(leaves == encrypted, "a leaf comes back otherwise");
    let tree = Tree::of(leaves.iter().map(|leaf| leaf_hash(leaf)));
    let proofs: Vec<_> = (0..leaves.len() as u64).map(|index| tree.proof(index)).collect();
    encrypter.forget_tokens();
    let (mut people, mut values) = (encrypter.people, encrypter.values);
    for (leaf, event) in leaves.iter().zip(&events) {
        let opened = Opener::new(&mut people, &mut values, false).open(leaf)?.leaf;
        ensure!(opened == event.to_leaf(), "{} does not open as it was", event.id);
    }

    let plan = erase::plan(&directory, person, &mut people, &mut values, &leaves)?;
    for (index, members) in &plan.events {
        println!("{:<10} goes: {}", events[*index as usize].id.to_string(), members.join(", "));
    }
    for &index in &plan.not_theirs {
        println!("{:<10} also has this login, not theirs at the time", events[index as usize].id.to_string());
    }
    erase::execute(person, &plan, &mut people, &mut values);
    check(&proofs, &leaves_of(&segments).await?)?;
    println!("{} proofs of before hold", proofs.len());
    let closed = plan.events.iter().map(|(index, _)| (&events[*index as usize], &leaves[*index as usize]));
    let tried = try_names(&directory.profiles[person as usize], closed, &people, &mut values)?;
    println!("{tried} tokens of their names under every key that is left: none stands in a closed event");
    write(output, &segments, &leaves, &mut people, &mut values)
}

/// The person of an id; a login that several people had names none.
fn one_person(directory: &Directory, name: &str) -> Result<u32> {
    let profiles = (0u32..).zip(&directory.profiles);
    let by_id = profiles.clone().find(|(_, profile)| profile.id == name);
    if let Some((number, _)) = by_id {
        return Ok(number);
    }
    let had: Vec<_> =
        profiles.filter(|(_, profile)| profile.logins.iter().any(|login| login == name)).collect();
    match had.as_slice() {
        [] => bail!("nobody here has the id or login {name:?}"),
        [(number, _)] => Ok(*number),
        several => {
            let time = |nanos: i64| Timestamp::from_nanos(nanos).to_string();
            let each = several.iter().map(|(_, profile)| {
                let until = match profile.removed {
                    i64::MAX => String::new(),
                    removed => format!(" until {}", time(removed)),
                };
                format!("{} since {}{until}", profile.id, time(profile.first))
            });
            bail!(
                "{} people had the login {name:?}: {}; name one by id",
                several.len(),
                each.collect::<Vec<_>>().join(", ")
            )
        }
    }
}

fn segments(events: &[Event], leaves: &[Vec<u8>]) -> Result<Vec<EncodedSegment>> {
    let mut families: BTreeMap<Family, Vec<(u64, &[u8])>> = BTreeMap::new();
    for (index, (event, leaf)) in (0u64..).zip(events.iter().zip(leaves)) {
        families.entry(event.kind.family()).or_default().push((index, leaf));
    }
    let encoded = families.iter().map(|(&family, rows)| encode(family, "main", rows));
    Ok(encoded.collect::<Result<_, _>>()?)
}

/// Encrypts a person's names with every key that is left, as somebody would who has the keys and tests names.
fn try_names<'e>(
    person: &Profile,
    closed: impl Iterator<Item = (&'e Event, &'e Vec<u8>)>,
    people: &PersonKeys,
    values: &mut ValueKeys,
) -> Result<usize> {
    let names = person.logins.iter().chain(&person.names).chain([&person.id]);
    let names: Vec<String> =
        names.chain(person.devices.iter().map(|device| &device.0)).map(|name| format!("{name:?}")).collect();
    let mut tried = 0;
    for (event, leaf) in closed {
        let leaf = String::from_utf8_lossy(leaf);
        let day = day_of(event.time.as_nanos());
        let of_people: Vec<_> =
            people.people().into_iter().filter_map(|person| people.day(person, day)).collect();
        let mut tokens = Vec::new();
        for name in &names {
            tokens.extend(of_people.iter().map(|keys| encrypt_for_person(keys, name.as_bytes())));
            for number in 0..values.used {
                let Some(key) = values.get(number) else { continue };
                let persons = of_people.iter().map(Some).chain([None]);
                tokens.extend(persons.map(|keys| encrypt_alone(&key, keys, (0, number), name.as_bytes())));
            }
        }
        ensure!(
            !tokens.iter().any(|token| leaf.contains(token)),
            "a name can be tested against {}",
            event.id
        );
        tried += tokens.len();
    }
    Ok(tried)
}

/// Writes segments, the keys that are left, and the events as they are shown.
fn write(
    output: &Path,
    segments: &[EncodedSegment],
    leaves: &[Vec<u8>],
    people: &mut PersonKeys,
    values: &mut ValueKeys,
) -> Result<()> {
    for folder in ["store", "local", "answers"] {
        std::fs::create_dir_all(output.join(folder))?;
    }
    for segment in segments {
        std::fs::write(output.join(format!("store/{}.parquet", segment.family)), &segment.bytes)?;
    }
    std::fs::write(output.join("local/people"), people.stored())?;
    std::fs::write(output.join("local/values"), values.stored())?;
    let mut shown = Vec::new();
    for leaf in leaves {
        shown.extend(Opener::new(people, values, false).open(leaf)?.leaf);
        shown.push(b'\n');
    }
    std::fs::write(output.join("answers/events.ndjson"), shown)?;
    std::fs::write(output.join("store/leaves.ndjson"), leaves.join(&b"\n"[..]))?;
    Ok(())
}
