//! Signed checkpoints: the stored one, the newest head that was given out, and those the user kept.
//!
//! The server keeps the newest head twice, in the store first: so a copy in `local/head` without one in the store was
//! not left by a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use meshtrail_event::text::with_causes;

use super::chain::unreadable;
use super::report::{LogSeen, Note, Report, Wrong};
use crate::note::{Checkpoint, Verifier};
use crate::store::{GetError, Key, Store};
use crate::trail::HEAD;
use crate::tree::Hash;

/// Checkpoints whose root is to be compared.
#[derive(Debug, Default)]
pub(super) struct Heads {
    heads: Vec<Head>,
    /// The stored checkpoint is missing.
    missing: bool,
    /// The store's copy of the newest head is missing, though this file has one.
    head_missing: Option<String>,
}

#[derive(Debug)]
struct Head {
    name: String,
    checkpoint: Checkpoint,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Signs what is sealed.
    Sealed,
    /// The newest that was given out, as the store has it: what it signs may be in the server's log alone.
    GivenOut,
    /// The same, as this machine has it, and with it the log.
    GivenOutHere,
    /// Kept by the user.
    Kept,
}

/// The roots that were recomputed: none at a size where something is missing.
pub(super) type Roots = BTreeMap<u64, Option<Hash>>;

impl Heads {
    /// Reads the stored checkpoint and those in `against`, and checks their signatures.
    pub(super) async fn read(
        store: &Store,
        root: &Key,
        verifier: Option<&Verifier>,
        local: Option<&Path>,
        against: &[String],
        report: &mut Report,
    ) -> Self {
        let mut heads = Self::default();
        let key = root.join("checkpoint").expect("a trail's root leaves room");
        match store.get(&key).await {
            Ok(text) => heads.take(key.to_string(), &text, verifier, Role::Sealed, report),
            Err(GetError::Missing { .. }) => heads.missing = true,
            Err(error) => report.wrong(key.to_string(), unreadable(&error)),
        }
        // The file first: a server that gives out a head meanwhile writes the store's copy first.
        let here = local.and_then(|local| heads.take_local(local, verifier, report));
        let key = root.join(HEAD).expect("a trail's root leaves room");
        match store.get(&key).await {
            Ok(text) => heads.take(key.to_string(), &text, verifier, Role::GivenOut, report),
            Err(GetError::Missing { .. }) => heads.head_missing = here,
            Err(error) => report.wrong(key.to_string(), unreadable(&error)),
        }
        for (at, text) in against.iter().enumerate() {
            heads.take(format!("given checkpoint {}", at + 1), text.as_bytes(), verifier, Role::Kept, report);
        }
        heads
    }

    /// Takes `local/head`; gives its name if it is of this trail.
    fn take_local(
        &mut self,
        local: &Path,
        verifier: Option<&Verifier>,
        report: &mut Report,
    ) -> Option<String> {
        let path = local.join(HEAD);
        let name = path.display().to_string();
        match std::fs::read(&path) {
            Ok(text) => {
                let origin = Checkpoint::claimed_origin(&text);
                if origin.zip(verifier).is_some_and(|(origin, verifier)| origin != verifier.name()) {
                    report.notes.push(Note::OtherTrailsHead { file: name });
                    return None;
                }
                self.take(name.clone(), &text, verifier, Role::GivenOutHere, report);
                Some(name)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                report.wrong(name, Wrong::Unreadable { reason: error.to_string() });
                None
            }
        }
    }

    fn take(
        &mut self,
        name: String,
        text: &[u8],
        verifier: Option<&Verifier>,
        role: Role,
        report: &mut Report,
    ) {
        let checkpoint = match verifier {
            Some(verifier) => verifier.open(text),
            None => Checkpoint::parse_unverified(text),
        };
        match checkpoint {
            Ok(checkpoint) => self.heads.push(Head { name, checkpoint, role }),
            Err(error) => report.wrong(name, Wrong::Checkpoint { reason: with_causes(&error) }),
        }
    }

    /// Leaves out heads that end within what is sealed: looking at one event is no reason to read another segment.
    pub(super) fn leave_out_sealed(&mut self, sealed: u64) {
        self.heads.retain(|head| match head.role {
            Role::GivenOut | Role::GivenOutHere => head.checkpoint.size >= sealed,
            Role::Sealed | Role::Kept => true,
        });
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
        if let Some(file) = &self.head_missing {
            let missing = Wrong::HeadMissing { file: file.clone() };
            report.wrong(format!("{}/{HEAD}", place.root), missing);
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
        if *size > place.there && head.role == Role::GivenOut && place.log == LogSeen::No {
            // Only the server's machine can tell.
            return report.notes.push(Note::GivenOut { size: *size, there: place.there });
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
                if head.role == Role::Sealed && *size < place.sealed {
                    report.notes.push(Note::CheckpointBehind { size: *size, sealed: place.sealed });
                }
            }
            // A newer checkpoint signs what is left.
            None if matches!(head.role, Role::GivenOut | Role::GivenOutHere) && *size < place.retired => {}
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
