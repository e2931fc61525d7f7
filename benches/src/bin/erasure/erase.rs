//! Erasing a person: what goes is found in opened leaves and destroyed by key. No leaf changes.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::directory::Directory;
use crate::fast::FastMap;
use crate::keys::{PersonKeys, ValueKeys};
use crate::open::{EncryptedValue, Opener};
use crate::token::ValueNumber;
use crate::words::Words;

/// What an erasure will close.
#[derive(Default)]
pub(crate) struct Plan {
    /// Index and closed members of each event.
    pub(crate) events: Vec<(u64, Vec<String>)>,
    /// Events that have a login which was another person's at that time.
    pub(crate) not_theirs: Vec<u64>,
    pub(crate) numbers: BTreeSet<u32>,
}

/// Reads all leaves and says what would go. Changes nothing.
pub(crate) fn plan(
    directory: &Directory,
    person: u32,
    people: &mut PersonKeys,
    values: &mut ValueKeys,
    leaves: &[Vec<u8>],
) -> Result<Plan> {
    let words = Words::of(&directory.profiles[person as usize]);
    let mut opener = Opener::new(people, values, true);
    let mut plan = Plan::default();
    // A value's key is of one day, so its text is judged once, or once more where the event is the person's.
    let mut judged = FastMap::default();
    let mut logins = BTreeSet::new();
    let mut numbers_of = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let (numbers, is_theirs) = opener.numbers(leaf, person)?;
        let known = |number: &ValueNumber| judged.contains_key(&(number.1, is_theirs));
        if !numbers.iter().all(known) {
            let opened = opener.open(leaf)?;
            for value in &opened.values {
                let (Some((_, number)), Some(text)) = (value.number, &value.text) else { continue };
                judged.insert((number, is_theirs), ());
                let texts = texts(text);
                if texts.iter().any(|text| words.speak_of(text, opener.time, is_theirs)) {
                    plan.numbers.insert(number);
                } else if value.person.is_none() && texts.iter().any(|text| words.have_login(text)) {
                    // A value of another person's with that person's login speaks of that person.
                    logins.insert(number);
                }
            }
        }
        numbers_of.push((numbers, is_theirs));
    }
    // Values under one key go together, wherever they are: only now it is known which events lose one.
    for (index, (numbers, is_theirs)) in (0u64..).zip(&numbers_of) {
        if *is_theirs || numbers.iter().any(|number| plan.numbers.contains(&number.1)) {
            let opened = opener.open(&leaves[index as usize])?;
            let goes = |value: &&EncryptedValue| {
                value.person == Some(person)
                    || value.number.is_some_and(|(_, number)| plan.numbers.contains(&number))
            };
            let members = opened.values.iter().filter(goes).map(|value| value.path.clone()).collect();
            plan.events.push((index, members));
        } else if numbers.iter().any(|number| logins.contains(&number.1)) {
            plan.not_theirs.push(index);
        }
    }
    Ok(plan)
}

/// Destroys the person's keys and those of the values of the plan.
pub(crate) fn execute(person: u32, plan: &Plan, people: &mut PersonKeys, values: &mut ValueKeys) {
    people.destroy(person);
    for &number in &plan.numbers {
        values.destroy(number);
    }
}

/// All texts in a JSON value, names of members among them.
fn texts(json: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    collect(serde_json::from_slice(json).unwrap_or_default(), &mut texts);
    texts
}

fn collect(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                texts.push(name);
                collect(value, texts);
            }
        }
        _ => {}
    }
}
