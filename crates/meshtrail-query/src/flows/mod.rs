//! Who talked to whom: flow events folded so that what both ends reported stands side by side.
//!
//! - Both ends of a connection report it, each with what it sent and received, in windows of its own. Here an end's
//!   windows are summed over the time asked for, and the two ends are never added to each other. Windows of the two
//!   do not align: at either edge of the time asked for, one window's worth may stand on one side only.
//! - What went one way is the larger of what its sender sent and its receiver received: clients count too little at
//!   times, never too much.
//! - An end that received nothing of what the other sent is marked: its own network stack took it (Tailscale SSH, a
//!   node without a TUN device), or its filter dropped it. Its own sent bytes are complete.
//! - Work is bounded: the newest windows come first, and an answer that does not reach back as far as was asked says
//!   how far it does.

mod conversation;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use meshtrail_event::{Family, Timestamp};
use meshtrail_trail::{ReadError, Scan, Trail};

pub use conversation::{Conversation, End, Grain, Party, Way};

use conversation::Fold;
use row::Row;

/// The most conversations that are told apart; more are counted, not shown.
const MOST: usize = 200_000;
/// After how many events other tasks get their turn, and the clock is looked at.
const TURN: u64 = 1024;

/// Which conversations are wanted.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Windows that began at this time or later.
    pub since: Timestamp,
    /// Windows that began before this time.
    pub until: Timestamp,
    /// Of this layer: `virtual`, `subnet`, `exit` or `physical`.
    pub layer: Option<String>,
    /// With this person at either end, by login.
    pub person: Option<String>,
    /// With this device at either end: its id, its name or the name's first label, or an address.
    pub device: Option<String>,
    /// With this port at either end.
    pub port: Option<u16>,
    /// What is told apart.
    pub grain: Grain,
    /// The most conversations in the answer, those that carried most first.
    pub limit: usize,
    /// How long the work may take, about.
    pub budget: Duration,
}

/// Conversations, those that carried most first.
#[derive(Clone, Debug, Default)]
pub struct Conversations {
    /// Each.
    pub items: Vec<Conversation>,
    /// How many there are in all.
    pub total: usize,
    /// Events that were folded.
    pub events: u64,
    /// Events of conversations beyond those that can be told apart.
    pub left_out: u64,
    /// From when on everything was looked at, where that is later than was asked.
    pub reaches_back_to: Option<Timestamp>,
}

/// Folds the flow events of `trail` that `ask` wants.
pub async fn conversations(trail: &Trail, ask: &Ask) -> Result<Conversations, ReadError> {
    let until = Instant::now() + ask.budget;
    let scan = Scan {
        families: vec![Family::Flow],
        times: Some((ask.since, ask.until)),
        ..Scan::newest(0..trail.size())
    };
    let mut leaves = std::pin::pin!(trail.scan(scan));
    let (mut folds, mut answer, mut seen) = (HashMap::new(), Conversations::default(), 0u64);
    while let Some(leaf) = leaves.next().await {
        let (_, leaf) = leaf?;
        seen += 1;
        if let Some(row) = Row::read(&leaf)
            && ask.wants(&row)
        {
            add(&mut folds, &mut answer, ask.grain, &row);
        }
        if seen.is_multiple_of(TURN) {
            if Instant::now() >= until {
                answer.reaches_back_to = Row::read(&leaf).map(|row| row.start());
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    answer.total = folds.len();
    answer.items = folds.into_values().map(Fold::told).collect();
    answer.items.sort_by(|one, two| {
        two.bytes().cmp(&one.bytes()).then_with(|| (&one.a.key, &one.b.key).cmp(&(&two.a.key, &two.b.key)))
    });
    answer.items.truncate(ask.limit);
    Ok(answer)
}

fn add(folds: &mut HashMap<String, Fold>, answer: &mut Conversations, grain: Grain, row: &Row<'_>) {
    let (key, near_is_a) = row.key(grain);
    let full = folds.len() >= MOST;
    match folds.get_mut(&key) {
        Some(fold) => fold.add(row, near_is_a),
        None if full => {
            answer.left_out += 1;
            return;
        }
        None => {
            let mut fold = Fold::begin(row, near_is_a, grain);
            fold.add(row, near_is_a);
            folds.insert(key, fold);
        }
    }
    answer.events += 1;
}

impl Ask {
    fn wants(&self, row: &Row<'_>) -> bool {
        let (since, until) = (self.since, self.until);
        let person = |login: &str| {
            let is_theirs =
                |end: &Party| end.login.as_deref().is_some_and(|one| one.eq_ignore_ascii_case(login));
            row.ends().iter().any(is_theirs)
        };
        let device = |text: &str| row.ends().iter().any(|end| end.is_called(text));
        (since..until).contains(&row.start())
            && self.layer.as_deref().is_none_or(|layer| layer == row.layer())
            && self.port.is_none_or(|port| row.ports().contains(&Some(port)))
            && self.person.as_deref().is_none_or(person)
            && self.device.as_deref().is_none_or(device)
    }
}
