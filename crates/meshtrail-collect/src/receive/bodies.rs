//! Bodies whose lines are in the trail, so that one that comes again for want of an answer counts once.
//!
//! - Lines have no identity of their own: two that are equal may be two. A body that comes again byte for byte is the
//!   same one, so each line says of which body it is, and the how-manyth in it: `detail.fields.meshtrail`.
//! - Lines go into the trail in their order: after a crash in the middle the durable ones are the first of a body, and
//!   what comes again goes on behind them.
//! - The newest [`BODIES`] bodies are at hand. At a start they are read back from the newest [`LINES`] log lines of the
//!   trail, and so are the newest [`IDS`] ids that were created.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use meshtrail_event::{Detail, Draft, Event, Family, Json};
use meshtrail_trail::{ReadError, Scan, Trail};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Bodies that are remembered.
const BODIES: usize = 1024;
/// Created ids that are remembered.
const IDS: usize = 1 << 16;
/// Log lines that are read back at start.
const LINES: usize = 200_000;
/// Bodies that are taken at the same time; equal ones are taken one after the other.
const TURNS: usize = 64;

/// The first half of a body's SHA-256.
type Digest = [u8; 16];

/// What a created id is known by.
pub(crate) type Created = [u8; 32];

/// What came of one protocol.
pub(crate) struct Bodies {
    protocol: &'static str,
    ready: tokio::sync::OnceCell<()>,
    /// Never held across an await.
    known: Mutex<Known>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

#[derive(Default)]
struct Known {
    /// How many records of a body are durable, from its first on.
    bodies: HashMap<Digest, usize>,
    order: VecDeque<Digest>,
    ids: HashSet<Created>,
    ids_order: VecDeque<Created>,
}

/// A body that is being taken: an equal one waits until this is dropped.
pub(crate) struct Taking<'a> {
    bodies: &'a Bodies,
    digest: Digest,
    /// How many of its records were durable before, from the first on.
    pub(crate) durable: usize,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Bodies {
    pub(crate) fn new(protocol: &'static str) -> Self {
        let turns = std::array::from_fn(|_| tokio::sync::Mutex::default());
        Self { protocol, ready: tokio::sync::OnceCell::new(), known: Mutex::default(), turns }
    }

    /// Begins to take a body.
    pub(crate) async fn take(&self, trail: &Trail, body: &[u8]) -> Result<Taking<'_>, ReadError> {
        self.ready.get_or_try_init(|| self.read_back(trail)).await?;
        let mut digest = Digest::default();
        digest.copy_from_slice(&Sha256::digest(body)[..16]);
        let turn = self.turns[usize::from(digest[0]) % TURNS].lock().await;
        let durable = self.known().bodies.get(&digest).copied().unwrap_or_default();
        Ok(Taking { bodies: self, digest, durable, _turn: turn })
    }

    /// Whether an id was created before.
    pub(crate) fn was_created(&self, id: &Created) -> bool {
        self.known().ids.contains(id)
    }

    /// Remembers ids that are durable.
    pub(crate) fn created(&self, ids: impl IntoIterator<Item = Created>) {
        let mut known = self.known();
        ids.into_iter().for_each(|id| known.add_id(id));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_back(&self, trail: &Trail) -> Result<(), ReadError> {
        let scan = Scan { families: vec![Family::Log], ..Scan::newest(0..trail.size()) };
        let mut leaves = std::pin::pin!(trail.scan(scan).take(LINES));
        let (mut bodies, mut ids) = (Vec::new(), Vec::new());
        while let Some(leaf) = leaves.next().await {
            let (_, leaf) = leaf?;
            let Ok(event) = Event::from_json(&leaf) else { continue };
            let Some(Detail::Log(line)) = event.detail else { continue };
            if line.collection.as_deref() == Some(self.protocol) {
                let fields = line.fields.as_ref().map(Json::value).unwrap_or_default();
                bodies.extend(read_mark(&fields));
                ids.extend(read_created(&fields));
            }
        }
        let mut known = self.known();
        bodies.into_iter().rev().for_each(|(digest, durable)| known.add(digest, durable));
        ids.into_iter().rev().for_each(|id| known.add_id(id));
        Ok(())
    }
}

impl Known {
    fn add(&mut self, digest: Digest, durable: usize) {
        match self.bodies.get_mut(&digest) {
            Some(known) => *known = durable.max(*known),
            None => {
                self.bodies.insert(digest, durable);
                self.order.push_back(digest);
            }
        }
        if self.order.len() > BODIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.bodies.remove(&oldest);
        }
    }

    fn add_id(&mut self, id: Created) {
        if self.ids.insert(id) {
            self.ids_order.push_back(id);
        }
        if self.ids_order.len() > IDS
            && let Some(oldest) = self.ids_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

impl Taking<'_> {
    /// Says in a line of which body it is, and of its how-manyth record.
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

    /// Remembers how many records are durable, from the first on.
    pub(crate) fn durable(&self, records: usize) {
        self.bodies.known().add(self.digest, records);
    }
}

/// Of which body a line is, and how many records of it are durable as far as the line shows.
fn read_mark(fields: &Value) -> Option<(Digest, usize)> {
    let own = fields.get("meshtrail")?;
    let digest = u128::from_str_radix(own.get("body")?.as_str()?, 16).ok()?;
    let record = usize::try_from(own.get("record")?.as_u64()?).ok()?;
    // Of a record in parts, only the last makes it whole.
    let whole = own.get("part") == own.get("parts");
    Some((digest.to_be_bytes(), record + usize::from(whole)))
}

fn read_created(fields: &Value) -> Option<Created> {
    let id = fields.get("id")?.as_str()?;
    Some(created(fields.get("index").and_then(Value::as_str).unwrap_or_default(), id))
}

/// What a second `create` of the same id is known by.
pub(crate) fn created(index: &str, id: &str) -> Created {
    Sha256::digest(format!("{}:{index}:{id}", index.len())).into()
}

/// For each of a body's lines in their order, how many records are durable once it is.
pub(crate) fn durable_with(lines: &[(usize, Draft)]) -> Vec<usize> {
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
        let turn = bodies.turns[0].try_lock().unwrap();
        let taking = Taking { bodies: &bodies, digest: [7; 16], durable: 0, _turn: turn };
        let marked = |fields: Value| {
            let line = LogLine { fields: Some(Json::from(&fields)), ..LogLine::default() };
            let mut draft = Draft::new(Kind::LogLine, Timestamp::default());
            draft.detail = Some(Detail::Log(Box::new(line)));
            taking.mark(&mut draft, 4);
            let Some(Detail::Log(line)) = draft.detail else { panic!() };
            let fields = line.fields.unwrap().value();
            (read_mark(&fields), fields)
        };
        assert_eq!(marked(json!({"event": 1})).0, Some(([7; 16], 5)));
        let (mark, fields) = marked(json!({"meshtrail": {"kept_raw": "long", "part": 1, "parts": 2}}));
        assert_eq!((mark, &fields["meshtrail"]["kept_raw"]), (Some(([7; 16], 4)), &json!("long")));
        assert_eq!(marked(json!({"meshtrail": {"part": 2, "parts": 2}})).0, Some(([7; 16], 5)));
    }

    #[test]
    fn the_oldest_bodies_and_ids_go_first() {
        let mut known = Known::default();
        for number in 0..=BODIES {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&number.to_be_bytes());
            known.add(digest, 1);
            known.add(digest, 3);
        }
        assert_eq!((known.bodies.len(), known.order.len()), (BODIES, BODIES));
        assert!(!known.bodies.contains_key(&Digest::default()), "the first");
    }
}
