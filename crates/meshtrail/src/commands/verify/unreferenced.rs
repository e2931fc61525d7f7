//! Objects below `recordings/` that no event of the trail refers to: somebody may have put them there.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use meshtrail_event::SessionId;
use meshtrail_recording::seal::RecordingObject;
use meshtrail_recording::unsealed_sessions;
use meshtrail_trail::store::{GetError, Key, Store};

use super::findings::Findings;
use super::local_store::LocalStore;
use super::via_api;
use crate::output::print_note;

/// The objects that no event refers to, as far as events were read.
#[derive(Default)]
pub(super) struct UnreferencedObjects {
    sessions: BTreeMap<SessionId, Vec<Key>>,
    foreign: Vec<Key>,
}

impl UnreferencedObjects {
    /// Lists all objects below `recordings/`, except those of the journal.
    pub(super) async fn list(store: &Store) -> Result<Self> {
        let mut unreferenced = Self::default();
        let below = Key::new("recordings").expect("a plain word is a key");
        for entry in store.list(&below).await? {
            match RecordingObject::classify(&entry.key) {
                RecordingObject::OfSession(session) => {
                    unreferenced.sessions.entry(session).or_default().push(entry.key);
                }
                RecordingObject::Journal { .. } => {}
                RecordingObject::Foreign => unreferenced.foreign.push(entry.key),
            }
        }
        Ok(unreferenced)
    }

    /// Removes the objects of a session that an event refers to.
    pub(super) fn mark_referenced(&mut self, session: &SessionId) {
        self.sessions.remove(session);
    }

    /// Reports the remaining objects.
    pub(super) async fn report(
        self,
        local_store: &LocalStore,
        store: &Store,
        findings: &mut Findings,
    ) -> Result<()> {
        for key in &self.foreign {
            findings.add(key.as_str(), false, "no recorder puts such an object here")?;
        }
        let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.sessions.into_iter().partition(|(session, _)| session.trail() == local_store.trail);
        check_other_trails(others, store, findings).await?;
        if own.is_empty() {
            return Ok(());
        }
        let local = local_store.local();
        let unsealed = match unsealed_sessions(store, local.as_deref(), &local_store.trail).await {
            Ok(unsealed) => unsealed,
            Err(error) => {
                print_note(&format!("Note: sessions that are not sealed yet can't be told: {error:#}"));
                HashSet::new()
            }
        };
        // A session that was sealed just before the listing may have received its event just after.
        let api = local_store.api().await?;
        for (session, keys) in own {
            if via_api::fetch_session(&api, &session).await.is_ok_and(|session| session.event.is_some()) {
                continue;
            }
            for key in keys {
                if unsealed.contains(&session) {
                    print_note(&format!(
                        "Note: the event that ends {session} is not in the trail yet, {key} is: the server is sealing \
                         it, or stopped while it did"
                    ));
                    continue;
                }
                let finding =
                    "no event speaks of it: somebody put it there, or an import was cut off before its event";
                findings.add(key.as_str(), false, finding)?;
            }
        }
        Ok(())
    }
}

/// Recordings of another trail in the same store are checked with that trail, if there is one.
async fn check_other_trails(
    others: BTreeMap<SessionId, Vec<Key>>,
    store: &Store,
    findings: &mut Findings,
) -> Result<()> {
    let mut trails: BTreeMap<String, bool> = BTreeMap::new();
    for (session, keys) in others {
        let trail = session.trail();
        if !trails.contains_key(trail) {
            let vkey = Key::new(format!("trails/{trail}/vkey"))?;
            let exists = !matches!(store.get(&vkey).await, Err(GetError::Missing { .. }));
            if exists {
                print_note(&format!(
                    "Note: recordings of trail {trail} are here as well: verify them with --trail {trail}"
                ));
            }
            trails.insert(trail.to_owned(), exists);
        }
        if trails.get(trail).is_some_and(|exists| *exists) {
            continue;
        }
        for key in keys {
            findings.add(
                key.as_str(),
                false,
                &format!("no event speaks of it, and there is no trail {trail} here"),
            )?;
        }
    }
    Ok(())
}
