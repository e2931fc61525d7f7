//! Signed checkpoints: the stored one, and those the user kept.

use std::collections::{BTreeMap, BTreeSet};

use meshtrail_event::text::with_causes;

use super::chain::unreadable;
use super::report::{LogSeen, Note, Report, Wrong};
use crate::note::{Checkpoint, Verifier};
use crate::store::{GetError, Key, Store};
use crate::tree::Hash;

/// Checkpoints whose root is to be compared.
#[derive(Debug, Default)]
pub(super) struct Heads {
    heads: Vec<Head>,
    /// The stored one is missing.
    missing: bool,
}

#[derive(Debug)]
struct Head {
    name: String,
    checkpoint: Checkpoint,
    stored: bool,
}

/// The roots that were recomputed: none at a size where something is missing.
pub(super) type Roots = BTreeMap<u64, Option<Hash>>;

impl Heads {
    /// Reads the stored checkpoint and those in `against`, and checks their signatures.
    pub(super) async fn read(
        store: &Store,
        root: &Key,
        verifier: Option<&Verifier>,
        against: &[String],
        report: &mut Report,
    ) -> Self {
        let mut heads = Self::default();
        let key = root.join("checkpoint").expect("a trail's root leaves room");
        match store.get(&key).await {
            Ok(text) => heads.take(key.to_string(), &text, verifier, true, report),
            Err(GetError::Missing { .. }) => heads.missing = true,
            Err(error) => report.wrong(key.to_string(), unreadable(&error)),
        }
        for (at, text) in against.iter().enumerate() {
            heads.take(format!("given checkpoint {}", at + 1), text.as_bytes(), verifier, false, report);
        }
        heads
    }

    fn take(
        &mut self,
        name: String,
        text: &[u8],
        verifier: Option<&Verifier>,
        stored: bool,
        report: &mut Report,
    ) {
        let checkpoint = match verifier {
            Some(verifier) => verifier.open(text),
            None => Checkpoint::parse_unverified(text),
        };
        match checkpoint {
            Ok(checkpoint) => self.heads.push(Head { name, checkpoint, stored }),
            Err(error) => report.wrong(name, Wrong::Checkpoint { reason: with_causes(&error) }),
        }
    }

    /// The sizes whose root is needed.
    pub(super) fn sizes(&self) -> BTreeSet<u64> {
        self.heads.iter().map(|head| head.checkpoint.size).collect()
    }

    /// Compares each checkpoint with what was recomputed of `there` events, `sealed` of them in the store.
    pub(super) fn compare(&self, place: &Compared<'_>, report: &mut Report) {
        if self.missing && place.sealed > 0 {
            report.wrong(format!("{}/checkpoint", place.root), Wrong::CheckpointMissing);
        }
        for head in &self.heads {
            self.compare_one(head, place, report);
        }
    }

    fn compare_one(&self, head: &Head, place: &Compared<'_>, report: &mut Report) {
        let Checkpoint { origin, size, root, .. } = &head.checkpoint;
        report.checked.checkpoints += 1;
        if let Some(expected) = place.origin.filter(|expected| expected != origin) {
            let found = origin.clone();
            return report
                .wrong(&head.name, Wrong::CheckpointOrigin { expected: expected.to_owned(), found });
        }
        if *size > place.there {
            let ahead = Wrong::CheckpointAhead { size: *size, there: place.there, log: place.log };
            return report.wrong(&head.name, ahead);
        }
        match place.roots.get(size).copied().flatten() {
            Some(found) if found != *root => {
                report.wrong(&head.name, Wrong::CheckpointRoot { size: *size, signed: *root, found });
            }
            Some(_) => {
                if head.stored && *size < place.sealed {
                    report.notes.push(Note::CheckpointBehind { size: *size, sealed: place.sealed });
                }
            }
            None => {
                let reason = if *size < place.retired {
                    "retention dropped the events around its end"
                } else {
                    "events before its end are missing, as told above"
                };
                let checkpoint = head.name.clone();
                report.notes.push(Note::NotComparable { checkpoint, size: *size, reason });
            }
        }
    }
}

/// What checkpoints are compared with.
pub(super) struct Compared<'a> {
    pub(super) root: &'a Key,
    pub(super) origin: Option<&'a str>,
    pub(super) roots: &'a Roots,
    pub(super) retired: u64,
    pub(super) sealed: u64,
    pub(super) there: u64,
    pub(super) log: LogSeen,
}

/// The key that must have signed: the given one, or else the stored one.
pub(super) async fn key(
    store: &Store,
    root: &Key,
    given: Option<&str>,
    report: &mut Report,
) -> Option<Verifier> {
    let key = root.join("vkey").expect("a trail's root leaves room");
    let stored = match store.get(&key).await {
        Ok(text) => Some(String::from_utf8_lossy(&text).trim().to_owned()),
        Err(GetError::Missing { .. }) => None,
        Err(error) => {
            report.wrong(key.to_string(), unreadable(&error));
            None
        }
    };
    let given = given.map(str::trim);
    if let (Some(given), Some(stored)) = (given, &stored)
        && given != stored
    {
        report.wrong(key.to_string(), Wrong::Key { reason: "is not the key that was given".into() });
    }
    let vkey = given.or(stored.as_deref())?;
    vkey.parse::<Verifier>()
        .map_err(|error| {
            let object = if given.is_some() { "the given key".to_owned() } else { key.to_string() };
            report.wrong(object, Wrong::Key { reason: error.to_string() });
        })
        .ok()
}
