//! Signed checkpoints: the stored one, the newest issued head, and those given by the user.
//!
//! The server writes the newest head twice, to the store first: a copy in `local/head` without one in the store can't
//! result from a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use meshtrail_event::text::with_causes;

use super::chain::unreadable;
use super::report::{LogCheck, Note, ProblemKind, Report};
use crate::note::{Checkpoint, Verifier};
use crate::store::{GetError, Key, Store};
use crate::trail::HEAD;
use crate::tree::Hash;

/// The checkpoints whose roots are compared.
#[derive(Debug, Default)]
pub(super) struct Heads {
    heads: Vec<Head>,
    /// Whether the stored checkpoint is missing.
    missing: bool,
    /// The local file with a head, if the store's copy of it is missing.
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
    /// Signs the sealed events.
    Sealed,
    /// The newest issued head in the store; its events may be in the server's log alone.
    Issued,
    /// The newest issued head on this machine, which also has the log.
    IssuedLocally,
    /// Given by the user.
    Given,
}

/// The recomputed roots by size; none if events are missing.
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
            Ok(text) => heads.add(key.to_string(), &text, verifier, Role::Sealed, report),
            Err(GetError::Missing { .. }) => heads.missing = true,
            Err(error) => report.add_problem(key.to_string(), unreadable(&error)),
        }
        // The local file first: a server that issues a head meanwhile writes the store's copy first.
        let here = local.and_then(|local| heads.add_local(local, verifier, report));
        let key = root.join(HEAD).expect("a trail's root leaves room");
        match store.get(&key).await {
            Ok(text) => heads.add(key.to_string(), &text, verifier, Role::Issued, report),
            Err(GetError::Missing { .. }) => heads.head_missing = here,
            Err(error) => report.add_problem(key.to_string(), unreadable(&error)),
        }
        for (at, text) in against.iter().enumerate() {
            heads.add(format!("given checkpoint {}", at + 1), text.as_bytes(), verifier, Role::Given, report);
        }
        heads
    }

    /// Adds `local/head`; returns its name if it is of this trail.
    fn add_local(
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
                self.add(name.clone(), &text, verifier, Role::IssuedLocally, report);
                Some(name)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                report.add_problem(name, ProblemKind::Unreadable { reason: error.to_string() });
                None
            }
        }
    }

    fn add(
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
            Err(error) => report.add_problem(name, ProblemKind::Checkpoint { reason: with_causes(&error) }),
        }
    }

    /// Drops heads that end within the sealed events: checking one event must not read other segments.
    pub(super) fn drop_sealed(&mut self, sealed: u64) {
        self.heads.retain(|head| match head.role {
            Role::Issued | Role::IssuedLocally => head.checkpoint.size >= sealed,
            Role::Sealed | Role::Given => true,
        });
    }

    /// The sizes whose root is needed.
    pub(super) fn sizes(&self) -> BTreeSet<u64> {
        self.heads.iter().map(|head| head.checkpoint.size).collect()
    }

    /// Compares each checkpoint with the recomputed roots.
    pub(super) fn compare(&self, with: &CompareWith<'_>, report: &mut Report) {
        if self.missing && with.sealed > 0 {
            report.add_problem(format!("{}/checkpoint", with.root), ProblemKind::CheckpointMissing);
        }
        if let Some(file) = &self.head_missing {
            let missing = ProblemKind::HeadMissing { file: file.clone() };
            report.add_problem(format!("{}/{HEAD}", with.root), missing);
        }
        for head in &self.heads {
            self.compare_one(head, with, report);
        }
    }

    fn compare_one(&self, head: &Head, with: &CompareWith<'_>, report: &mut Report) {
        let Checkpoint { origin, size, root, .. } = &head.checkpoint;
        report.checked.checkpoints += 1;
        if let Some(expected) = with.origin.filter(|expected| expected != origin) {
            let found = origin.clone();
            return report.add_problem(
                &head.name,
                ProblemKind::CheckpointOrigin { expected: expected.to_owned(), found },
            );
        }
        if *size > with.there && head.role == Role::Issued && with.log == LogCheck::No {
            // Only the server's machine can decide.
            return report.notes.push(Note::GivenOut { size: *size, there: with.there });
        }
        if *size > with.there {
            let ahead = ProblemKind::CheckpointAhead { size: *size, there: with.there, log: with.log };
            return report.add_problem(&head.name, ahead);
        }
        match with.roots.get(size).copied().flatten() {
            Some(found) if found != *root => {
                report.add_problem(
                    &head.name,
                    ProblemKind::CheckpointRoot { size: *size, signed: *root, found },
                );
            }
            Some(_) => {
                if head.role == Role::Sealed && *size < with.sealed {
                    report.notes.push(Note::CheckpointBehind { size: *size, sealed: with.sealed });
                }
            }
            // A newer checkpoint covers the remaining events.
            None if matches!(head.role, Role::Issued | Role::IssuedLocally) && *size < with.retired => {}
            None => {
                let reason = if *size < with.retired {
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

/// The recomputed state that checkpoints are compared with.
pub(super) struct CompareWith<'a> {
    pub(super) root: &'a Key,
    pub(super) origin: Option<&'a str>,
    pub(super) roots: &'a Roots,
    pub(super) retired: u64,
    pub(super) sealed: u64,
    pub(super) there: u64,
    pub(super) log: LogCheck,
}

/// The verifier key: the given one, or else the stored one.
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
            report.add_problem(key.to_string(), unreadable(&error));
            None
        }
    };
    let given = given.map(str::trim);
    if let (Some(given), Some(stored)) = (given, &stored)
        && given != stored
    {
        report.add_problem(
            key.to_string(),
            ProblemKind::Key { reason: "is not the key that was given".into() },
        );
    }
    let vkey = given.or(stored.as_deref())?;
    vkey.parse::<Verifier>()
        .map_err(|error| {
            let object = if given.is_some() { "the given key".to_owned() } else { key.to_string() };
            report.add_problem(object, ProblemKind::Key { reason: error.to_string() });
        })
        .ok()
}
