//! Traffic between two endpoints, one edge for each direction, with the byte counts of both.

use std::sync::Arc;

use meshtrail_event::Timestamp;
use meshtrail_flow::{Conversation, End, Party};
use meshtrail_identity::{History, Texts};

/// One end of an edge: a device with its owner at the time of the traffic, or an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TrafficEndpoint {
    /// The device's id, where the device is known.
    pub id: Option<String>,
    /// The device's name, where it is known.
    pub name: Option<String>,
    /// The login of the device's owner.
    pub person: Option<String>,
    /// The owner's groups, as control planes reported them.
    pub groups: Texts,
    /// The device's tags.
    pub tags: Vec<String>,
    /// The address, where no device is known.
    pub address: Option<String>,
}

/// Traffic from one endpoint to another on one layer.
#[derive(Debug, Clone)]
pub struct TrafficEdge {
    /// The sender.
    pub from: Arc<TrafficEndpoint>,
    /// The receiver.
    pub to: Arc<TrafficEndpoint>,
    /// `virtual`, `subnet`, `exit` or `physical`.
    pub layer: String,
    /// Bytes sent, as the sender counted; `None` where it reported nothing.
    pub sent: Option<u64>,
    /// Bytes received, as the receiver counted; `None` where it reported nothing.
    pub received: Option<u64>,
    /// Whether the receiver does not count what it receives.
    pub(super) receiver_undercounts: bool,
    /// The end of the last counted window.
    pub last: Timestamp,
}

/// How the two counts of an edge compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountAgreement {
    /// Both ends report, and differ by less than 5 %.
    Agree,
    /// Both ends report, and differ by this percentage of the larger count.
    Differ(u64),
    /// Only the sender reports.
    SenderOnly,
    /// Only the receiver reports.
    ReceiverOnly,
    /// The receiver reports but does not count what it receives, because it has no network interface (userspace).
    ReceiverUndercounts,
}

impl TrafficEdge {
    /// The larger of the two counts, a lower bound of the traffic.
    pub fn bytes(&self) -> u64 {
        self.sent.unwrap_or(0).max(self.received.unwrap_or(0))
    }

    /// Compares the two counts.
    pub fn agreement(&self) -> CountAgreement {
        match (self.sent, self.received) {
            (Some(_), Some(_)) if self.receiver_undercounts => CountAgreement::ReceiverUndercounts,
            (Some(sent), Some(received)) => {
                let (less, more) = (sent.min(received), sent.max(received));
                // Packets in flight at the end of a window cause small differences; these are not reported.
                let hundredths = (more - less).saturating_mul(100).checked_div(more).unwrap_or(0);
                if hundredths >= 5 { CountAgreement::Differ(hundredths) } else { CountAgreement::Agree }
            }
            (Some(_), None) => CountAgreement::SenderOnly,
            (None, _) => CountAgreement::ReceiverOnly,
        }
    }
}

/// The edges of `conversations` that carried any bytes, the busiest first.
pub(super) fn edges_of(conversations: Vec<Conversation>, history: &History) -> Vec<TrafficEdge> {
    let mut edges: Vec<TrafficEdge> = conversations
        .into_iter()
        .flat_map(|of| both_directions(of, history))
        .filter(|edge| edge.bytes() > 0)
        .collect();
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.bytes()));
    edges
}

fn both_directions(of: Conversation, history: &History) -> [TrafficEdge; 2] {
    let (a, b) = (Arc::new(endpoint(of.a, of.last, history)), Arc::new(endpoint(of.b, of.last, history)));
    let counted = |by: &End, bytes: u64| (by.windows > 0).then_some(bytes);
    let edge =
        |from: &Arc<TrafficEndpoint>, to: &Arc<TrafficEndpoint>, sender: &End, receiver: &End| TrafficEdge {
            from: from.clone(),
            to: to.clone(),
            layer: of.layer.clone(),
            sent: counted(sender, sender.tx_bytes),
            received: counted(receiver, receiver.rx_bytes),
            receiver_undercounts: receiver.undercounts,
            last: of.last,
        };
    [edge(&a, &b, &of.by_a, &of.by_b), edge(&b, &a, &of.by_b, &of.by_a)]
}

fn endpoint(party: Party, at: Timestamp, history: &History) -> TrafficEndpoint {
    let address = (party.device.is_none() && !party.key.is_empty()).then_some(party.key);
    let person = party.login.as_deref().and_then(|login| history.person(login, at));
    let groups = person.map(|known| known.facts.groups.clone()).unwrap_or_default();
    TrafficEndpoint {
        id: party.device,
        name: party.name,
        person: party.login,
        groups,
        tags: party.tags,
        address,
    }
}

#[cfg(test)]
mod tests {
    use meshtrail_flow::Way;

    use super::*;

    fn counts(windows: u64, tx_bytes: u64, rx_bytes: u64, undercounts: bool) -> End {
        End { windows, tx_bytes, rx_bytes, undercounts, ..End::default() }
    }

    fn conversation(by_a: End, by_b: End) -> Vec<TrafficEdge> {
        let party = |id: &str| Party { key: id.to_owned(), device: Some(id.to_owned()), ..Party::default() };
        let time = Timestamp::from_nanos(1);
        edges_of(
            vec![Conversation {
                a: party("a"),
                b: party("b"),
                layer: "virtual".to_owned(),
                proto: None,
                by_a,
                by_b,
                a_to_b: Way::default(),
                b_to_a: Way::default(),
                first: time,
                last: time,
            }],
            &History::default(),
        )
    }

    #[test]
    fn two_counts_of_the_same_traffic_stand_side_by_side_and_are_not_added_up() {
        let edges = conversation(counts(3, 1000, 40, false), counts(3, 40, 1000, false));
        assert_eq!(edges.len(), 2);
        assert_eq!((edges[0].sent, edges[0].received, edges[0].bytes()), (Some(1000), Some(1000), 1000));
        assert_eq!(edges[0].agreement(), CountAgreement::Agree);
        assert_eq!(edges[1].bytes(), 40);
    }

    #[test]
    fn an_end_that_reports_nothing_or_only_what_it_sends_is_told_apart_from_one_that_agrees() {
        let alone = conversation(counts(3, 1000, 40, false), counts(0, 0, 0, false));
        assert_eq!(
            (alone[0].agreement(), alone[1].agreement()),
            (CountAgreement::SenderOnly, CountAgreement::ReceiverOnly)
        );
        let undercounting = conversation(counts(3, 1000, 40, false), counts(3, 40, 0, true));
        assert_eq!(
            (undercounting[0].agreement(), undercounting[0].bytes()),
            (CountAgreement::ReceiverUndercounts, 1000)
        );
        let differ = conversation(counts(3, 1000, 0, false), counts(3, 0, 700, false));
        assert_eq!(differ[0].agreement(), CountAgreement::Differ(30));
    }
}
