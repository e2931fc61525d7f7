//! What went from one end to another, as each of them counted it.

use std::sync::Arc;

use meshtrail_event::Timestamp;
use meshtrail_identity::{History, Texts};
use meshtrail_query::flows::{self, Conversation, Party};

/// One end of traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct End {
    /// The device's id, where one is known.
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    /// The login of whose device it was.
    pub(crate) person: Option<String>,
    /// The groups that person was in, as control planes told.
    pub(crate) groups: Texts,
    /// The tags that owned it.
    pub(crate) tags: Vec<String>,
    /// The address, where no device is known.
    pub(crate) address: Option<String>,
}

/// Traffic from one end to another on one layer.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    pub(crate) from: Arc<End>,
    pub(crate) to: Arc<End>,
    /// `virtual`, `subnet`, `exit` or `physical`.
    pub(crate) layer: String,
    /// Bytes that the sender says it sent; none where it reported nothing.
    pub(crate) sent: Option<u64>,
    /// Bytes that the receiver says it received; none where it reported nothing.
    pub(crate) received: Option<u64>,
    /// Whether the receiver counts nothing that it receives.
    pub(crate) blind: bool,
    pub(crate) last: Timestamp,
}

/// How far the two counts of a talk can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Both ends count alike.
    BothAgree,
    /// Both count, and differ by so many hundredths of the larger.
    Differ(u64),
    /// Only the sender reports.
    SenderOnly,
    /// Only the receiver reports.
    ReceiverOnly,
    /// The receiver reports, but counts nothing that it receives: it has no interface of its own.
    ReceiverBlind,
}

impl Talk {
    /// The larger of the two counts: what went at least.
    pub(crate) fn bytes(&self) -> u64 {
        self.sent.unwrap_or(0).max(self.received.unwrap_or(0))
    }

    /// How the two counts stand to each other.
    pub(crate) fn trust(&self) -> Trust {
        match (self.sent, self.received) {
            (Some(_), Some(_)) if self.blind => Trust::ReceiverBlind,
            (Some(sent), Some(received)) => {
                let (less, more) = (sent.min(received), sent.max(received));
                // Packets on their way at a window's end make small differences; they are no news.
                let hundredths = (more - less).saturating_mul(100).checked_div(more).unwrap_or(0);
                if hundredths >= 5 { Trust::Differ(hundredths) } else { Trust::BothAgree }
            }
            (Some(_), None) => Trust::SenderOnly,
            (None, _) => Trust::ReceiverOnly,
        }
    }
}

/// Each way of each conversation in which anything went, the most first.
pub(super) fn talks(conversations: Vec<Conversation>, history: &History) -> Vec<Talk> {
    let mut talks: Vec<Talk> = conversations
        .into_iter()
        .flat_map(|of| both_ways(of, history))
        .filter(|talk| talk.bytes() > 0)
        .collect();
    talks.sort_by_key(|talk| std::cmp::Reverse(talk.bytes()));
    talks
}

fn both_ways(of: Conversation, history: &History) -> [Talk; 2] {
    let (a, b) = (Arc::new(end(of.a, of.last, history)), Arc::new(end(of.b, of.last, history)));
    let counted = |by: &flows::End, bytes: u64| (by.windows > 0).then_some(bytes);
    let talk = |from: &Arc<End>, to: &Arc<End>, sender: &flows::End, receiver: &flows::End| Talk {
        from: from.clone(),
        to: to.clone(),
        layer: of.layer.clone(),
        sent: counted(sender, sender.tx_bytes),
        received: counted(receiver, receiver.rx_bytes),
        blind: receiver.undercounts,
        last: of.last,
    };
    [talk(&a, &b, &of.by_a, &of.by_b), talk(&b, &a, &of.by_b, &of.by_a)]
}

fn end(party: Party, at: Timestamp, history: &History) -> End {
    let address = (party.device.is_none() && !party.key.is_empty()).then_some(party.key);
    let person = party.login.as_deref().and_then(|login| history.person(login, at));
    let groups = person.map(|known| known.facts.groups.clone()).unwrap_or_default();
    End { id: party.device, name: party.name, person: party.login, groups, tags: party.tags, address }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(windows: u64, tx_bytes: u64, rx_bytes: u64, undercounts: bool) -> flows::End {
        flows::End { windows, tx_bytes, rx_bytes, undercounts, ..flows::End::default() }
    }

    fn conversation(by_a: flows::End, by_b: flows::End) -> Vec<Talk> {
        let party = |id: &str| Party { key: id.to_owned(), device: Some(id.to_owned()), ..Party::default() };
        let time = Timestamp::from_nanos(1);
        talks(
            vec![Conversation {
                a: party("a"),
                b: party("b"),
                layer: "virtual".to_owned(),
                proto: None,
                by_a,
                by_b,
                a_to_b: flows::Way::default(),
                b_to_a: flows::Way::default(),
                first: time,
                last: time,
            }],
            &History::default(),
        )
    }

    #[test]
    fn two_counts_of_the_same_traffic_stand_side_by_side_and_are_not_added_up() {
        let talks = conversation(counts(3, 1000, 40, false), counts(3, 40, 1000, false));
        assert_eq!(talks.len(), 2);
        assert_eq!((talks[0].sent, talks[0].received, talks[0].bytes()), (Some(1000), Some(1000), 1000));
        assert_eq!(talks[0].trust(), Trust::BothAgree);
        assert_eq!(talks[1].bytes(), 40);
    }

    #[test]
    fn an_end_that_reports_nothing_or_only_what_it_sends_is_told_apart_from_one_that_agrees() {
        let alone = conversation(counts(3, 1000, 40, false), counts(0, 0, 0, false));
        assert_eq!((alone[0].trust(), alone[1].trust()), (Trust::SenderOnly, Trust::ReceiverOnly));
        let blind = conversation(counts(3, 1000, 40, false), counts(3, 40, 0, true));
        assert_eq!((blind[0].trust(), blind[0].bytes()), (Trust::ReceiverBlind, 1000));
        let differ = conversation(counts(3, 1000, 0, false), counts(3, 0, 700, false));
        assert_eq!(differ[0].trust(), Trust::Differ(30));
    }
}
