//! Deduplication of request bodies: a body that is sent again for want of a response counts once.
//!
//! - Lines have no identity: two equal lines may be two events. A body that is repeated byte for byte is the same body, so
//!   each line in the trail names its body's digest and its record number in it: `detail.fields.meshtrail`.
//! - Lines are appended in order: after a crash the durable ones are a prefix of the body, and a repeated body continues
//!   behind them.
//! - The newest [`BODIES`] bodies are in memory. At start they are loaded from the newest [`LINES`] log lines of the trail,
//!   and so are the newest [`IDS`] created ids.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use meshtrail_event::{Detail, Draft, Event, Family, Json};
use meshtrail_trail::{ReadError, Recent, Scan, Trail};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The most bodies in memory.
const BODIES: usize = 1024;
/// The most created ids in memory.
const IDS: usize = 1 << 16;
/// The most log lines that are read at start.
const LINES: usize = 200_000;
/// Number of locks: the most bodies that are written at the same time. Equal bodies have the same lock.
const LOCKS: usize = 64;

/// The first half of a body's SHA-256.
type Digest = [u8; 16];

/// Digest of a created id and its index.
pub(crate) type CreatedKey = [u8; 32];

/// The bodies of one protocol.
pub(crate) struct Bodies {
    protocol: &'static str,
    loaded: tokio::sync::OnceCell<()>,
    /// Never held across an await.
    index: Mutex<BodyIndex>,
    locks: [tokio::sync::Mutex<()>; LOCKS],
}

#[derive(Default)]
struct BodyIndex {
    /// Number of durable records of each body, from its first on.
    bodies: Recent<Digest, BODIES, usize>,
    ids: Recent<CreatedKey, IDS>,
}

/// A body that is being written: an equal one waits until this is dropped.
pub(crate) struct BodyIntake<'a> {
    bodies: &'a Bodies,
    digest: Digest,
    /// Number of its records that were durable before, from the first on.
    pub(crate) durable: usize,
    _lock: tokio::sync::MutexGuard<'a, ()>,
}

impl Bodies {
    pub(crate) fn new(protocol: &'static str) -> Self {
        let locks = std::array::from_fn(|_| tokio::sync::Mutex::default());
        Self { protocol, loaded: tokio::sync::OnceCell::new(), index: Mutex::default(), locks }
    }

    /// Begins to write a body.
    pub(crate) async fn begin(&self, trail: &Trail, body: &[u8]) -> Result<BodyIntake<'_>, ReadError> {
        self.loaded.get_or_try_init(|| self.load_from_trail(trail)).await?;
        let mut digest = Digest::default();
        digest.copy_from_slice(&Sha256::digest(body)[..16]);
        let lock = self.locks[usize::from(digest[0]) % LOCKS].lock().await;
        let durable = self.index().bodies.get(&digest).copied().unwrap_or_default();
        Ok(BodyIntake { bodies: self, digest, durable, _lock: lock })
    }

    /// Whether an id was created before.
    pub(crate) fn was_created(&self, id: &CreatedKey) -> bool {
        self.index().ids.contains(id)
    }

    /// Records created ids, which are durable.
    pub(crate) fn record_created(&self, ids: impl IntoIterator<Item = CreatedKey>) {
        let mut index = self.index();
        for id in ids {
            index.ids.add(id);
        }
    }

    fn index(&self) -> MutexGuard<'_, BodyIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load_from_trail(&self, trail: &Trail) -> Result<(), ReadError> {
        let scan = Scan { families: vec![Family::Log], ..Scan::newest(0..trail.size()) };
        let mut leaves = std::pin::pin!(trail.scan(scan).take(LINES));
        let (mut bodies, mut ids) = (Vec::new(), Vec::new());
        while let Some(leaf) = leaves.next().await {
            let (_, leaf) = leaf?;
            let Ok(event) = Event::from_json(&leaf) else { continue };
            let Some(Detail::Log(line)) = event.detail else { continue };
            if line.collection.as_deref() == Some(self.protocol) {
                let fields = line.fields.as_ref().map(Json::value).unwrap_or_default();
                bodies.extend(parse_mark(&fields));
                ids.extend(parse_created(&fields));
            }
        }
        let mut index = self.index();
        bodies.into_iter().rev().for_each(|(digest, durable)| index.add(digest, durable));
        for id in ids.into_iter().rev() {
            index.ids.add(id);
        }
        Ok(())
    }
}

impl BodyIndex {
    fn add(&mut self, digest: Digest, durable: usize) {
        let known = self.bodies.get_or_insert(digest, durable);
        *known = durable.max(*known);
    }
}

impl BodyIntake<'_> {
    /// Adds the body's digest and the record number to a line.
    pub(crate) fn mark(&self, draft: &mut Draft, record: usize) {
        let Some(Detail::Log(line)) = &mut draft.detail else { return };
        let mut fields = match line.fields.as_ref().map(Json::value) {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        if let Value::Object(own) = fields.entry("meshtrail").or_insert_with(|| json!({})) {
            own.insert("body".to_owned(), format!("{:032x}", u128::from_be_bytes(self.digest)).into());
            own.insert("record".to_owned(), record.into());
        }
        line.fields = Some(Json::from(&Value::Object(fields)));
    }

    /// Records that this many records are durable, from the first on.
    pub(crate) fn record_durable(&self, records: usize) {
        self.bodies.index().add(self.digest, records);
    }
}

/// The digest of a line's body, and the number of its records that the line shows to be durable.
fn parse_mark(fields: &Value) -> Option<(Digest, usize)> {
    let own = fields.get("meshtrail")?;
    let digest = u128::from_str_radix(own.get("body")?.as_str()?, 16).ok()?;
    let record = usize::try_from(own.get("record")?.as_u64()?).ok()?;
    // A record in several parts is durable only with its last part.
    let whole = own.get("part") == own.get("parts");
    Some((digest.to_be_bytes(), record + usize::from(whole)))
}

fn parse_created(fields: &Value) -> Option<CreatedKey> {
    let id = fields.get("id")?.as_str()?;
    Some(created_key(fields.get("index").and_then(Value::as_str).unwrap_or_default(), id))
}

/// The key that a second `create` of the same id is found by.
pub(crate) fn created_key(index: &str, id: &str) -> CreatedKey {
    Sha256::digest(format!("{}:{index}:{id}", index.len())).into()
}

/// For each line of a body in order, the number of records that are durable once the line is.
pub(crate) fn durable_after_each(lines: &[(usize, Draft)]) -> Vec<usize> {
    let next = lines.iter().skip(1).map(|(record, _)| Some(*record)).chain([None]);
    lines.iter().zip(next).map(|((record, _), next)| record + usize::from(next != Some(*record))).collect()
}

#[cfg(test)]
mod tests {
    use meshtrail_event::{Kind, LogLine, Timestamp};

    use super::*;

    #[test]
    fn a_line_gives_back_its_body_and_a_part_makes_no_record_whole() {
        let bodies = Bodies::new("hec");
        let lock = bodies.locks[0].try_lock().unwrap();
        let intake = BodyIntake { bodies: &bodies, digest: [7; 16], durable: 0, _lock: lock };
        let marked = |fields: Value| {
            let line = LogLine { fields: Some(Json::from(&fields)), ..LogLine::default() };
            let mut draft = Draft::new(Kind::LogLine, Timestamp::default());
            draft.detail = Some(Detail::Log(Box::new(line)));
            intake.mark(&mut draft, 4);
            let Some(Detail::Log(line)) = draft.detail else { panic!() };
            let fields = line.fields.unwrap().value();
            (parse_mark(&fields), fields)
        };
        assert_eq!(marked(json!({"event": 1})).0, Some(([7; 16], 5)));
        let (mark, fields) = marked(json!({"meshtrail": {"kept_raw": "long", "part": 1, "parts": 2}}));
        assert_eq!((mark, &fields["meshtrail"]["kept_raw"]), (Some(([7; 16], 4)), &json!("long")));
        assert_eq!(marked(json!({"meshtrail": {"part": 2, "parts": 2}})).0, Some(([7; 16], 5)));
    }

    #[test]
    fn the_oldest_bodies_and_ids_go_first() {
        let mut index = BodyIndex::default();
        for number in 0..=BODIES {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&number.to_be_bytes());
            index.add(digest, 1);
            index.add(digest, 3);
            assert_eq!(index.bodies.get(&digest), Some(&3));
        }
        assert_eq!(index.bodies.len(), BODIES);
        assert!(!index.bodies.contains(&Digest::default()), "the first");
    }
}
