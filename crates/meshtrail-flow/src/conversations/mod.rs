//! Conversations: flow events aggregated by their two ends, with the reports of both ends side by side.
//!
//! - Both ends of a connection report it, each with what it sent and received, in its own windows. An end's windows are
//!   summed over the queried time, and the two ends are never added to each other. Their windows do not align: at either
//!   edge of the time, one window may be on one side only.
//! - The traffic in one direction is the larger of what its sender sent and its receiver received: clients sometimes count
//!   too little, never too much.
//! - An end that received nothing of what the other sent is marked: its own network stack consumed it (Tailscale SSH, a
//!   node without a TUN device), or its filter dropped it. Its own sent bytes are complete.
//! - Work is bounded: the newest windows are read first, and an answer that does not cover the whole time tells from when
//!   on it is complete.

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

use conversation::ConversationSum;
use row::Row;

/// Conversations that are kept apart, at most; events of further ones are only counted.
const MAX_CONVERSATIONS: usize = 200_000;
/// Events after which the task yields and checks the clock.
const YIELD_EVERY: u64 = 1024;

/// A query for conversations.
#[derive(Clone, Debug)]
pub struct FlowQuery {
    /// Windows that began at this time or later.
    pub since: Timestamp,
    /// Windows that began before this time.
    pub until: Timestamp,
    /// Only this layer: `virtual`, `subnet`, `exit` or `physical`.
    pub layer: Option<String>,
    /// Only with this person at either end, by login.
    pub person: Option<String>,
    /// Only with this device at either end: its id, its name or the name's first label, or an address.
    pub device: Option<String>,
    /// Only with this port at either end.
    pub port: Option<u16>,
    /// The grouping.
    pub grain: Grain,
    /// Conversations in the answer, at most, those with the most bytes first.
    pub limit: usize,
    /// The approximate time limit of the work.
    pub budget: Duration,
}

/// Conversations, those with the most bytes first.
#[derive(Clone, Debug, Default)]
pub struct Conversations {
    /// The conversations.
    pub items: Vec<Conversation>,
    /// The number of all conversations.
    pub total: usize,
    /// Events that were aggregated.
    pub events: u64,
    /// Events of conversations beyond the maximum.
    pub left_out: u64,
    /// The time from which the answer is complete, if that is later than the queried time.
    pub reaches_back_to: Option<Timestamp>,
}

/// Aggregates the flow events of `trail` that match `query`.
pub async fn conversations(trail: &Trail, query: &FlowQuery) -> Result<Conversations, ReadError> {
    let until = Instant::now() + query.budget;
    let scan = Scan {
        families: vec![Family::Flow],
        times: Some((query.since, query.until)),
        ..Scan::newest(0..trail.size())
    };
    let mut leaves = std::pin::pin!(trail.scan(scan));
    let (mut sums, mut answer, mut read) = (HashMap::new(), Conversations::default(), 0u64);
    while let Some(leaf) = leaves.next().await {
        let (_, leaf) = leaf?;
        read += 1;
        if let Some(row) = Row::read(&leaf)
            && query.matches(&row)
        {
            add(&mut sums, &mut answer, query.grain, &row);
        }
        if read.is_multiple_of(YIELD_EVERY) {
            if Instant::now() >= until {
                answer.reaches_back_to = Row::read(&leaf).map(|row| row.start());
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    answer.total = sums.len();
    answer.items = sums.into_values().map(ConversationSum::finish).collect();
    answer.items.sort_by(|one, two| {
        two.bytes().cmp(&one.bytes()).then_with(|| (&one.a.key, &one.b.key).cmp(&(&two.a.key, &two.b.key)))
    });
    answer.items.truncate(query.limit);
    Ok(answer)
}

fn add(sums: &mut HashMap<String, ConversationSum>, answer: &mut Conversations, grain: Grain, row: &Row<'_>) {
    let (key, near_is_a) = row.key(grain);
    let full = sums.len() >= MAX_CONVERSATIONS;
    match sums.get_mut(&key) {
        Some(sum) => sum.add(row, near_is_a),
        None if full => {
            answer.left_out += 1;
            return;
        }
        None => {
            let mut sum = ConversationSum::begin(row, near_is_a, grain);
            sum.add(row, near_is_a);
            sums.insert(key, sum);
        }
    }
    answer.events += 1;
}

impl FlowQuery {
    fn matches(&self, row: &Row<'_>) -> bool {
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
