//! Postures of devices: whether assertions hold, do not, or can't be evaluated.

use std::cmp::Ordering;
use std::sync::OnceLock;

use crate::directory::{AttributeValue, Attributes};
use crate::file::{Assertion, Operator};

/// Whether something holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    /// Not: the reason in words.
    No(String),
    /// Nobody can tell: the reason in words.
    Unknown(String),
}

/// A posture of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PostureId(pub(crate) u32);

/// A posture, and whether each device has it, once somebody asked.
#[derive(Debug)]
pub(crate) struct Posture {
    pub(crate) name: String,
    pub(crate) assertions: Vec<Assertion>,
    pub(crate) states: OnceLock<Box<[Option<bool>]>>,
}

/// Whether one of the postures holds for a device; a rule without postures holds for all.
///
/// Where none holds, the reasons of all are in the answer: it is unknown if one of them is.
pub(crate) fn check<'p>(postures: impl Iterator<Item = &'p Posture>, attributes: &Attributes) -> Holds {
    let (mut reasons, mut unknown, mut is_empty) = (Vec::new(), false, true);
    for Posture { name, assertions, .. } in postures {
        is_empty = false;
        match check_posture(assertions, attributes) {
            Holds::Yes => return Holds::Yes,
            Holds::No(reason) => reasons.push(format!("{name}: {reason}")),
            Holds::Unknown(reason) => {
                unknown = true;
                reasons.push(format!("{name}: {reason}"));
            }
        }
    }
    match (is_empty, unknown) {
        (true, _) => Holds::Yes,
        (false, true) => Holds::Unknown(reasons.join("; ")),
        (false, false) => Holds::No(reasons.join("; ")),
    }
}

/// Whether all assertions hold: one that does not decides, whatever is unknown of the others.
fn check_posture(assertions: &[Assertion], attributes: &Attributes) -> Holds {
    let mut answer = Holds::Yes;
    for assertion in assertions {
        match check_assertion(assertion, attributes) {
            Holds::Yes => {}
            no @ Holds::No(_) => return no,
            unknown @ Holds::Unknown(_) if answer == Holds::Yes => answer = unknown,
            Holds::Unknown(_) => {}
        }
    }
    answer
}

/// An attribute that is not set fails every assertion but `NOT SET` (Tailscale's manual).
fn check_assertion(assertion: &Assertion, attributes: &Attributes) -> Holds {
    let value = attributes.values.get(&assertion.key);
    let holds = match (value, assertion.operator) {
        (None, _) if !attributes.complete => {
            return Holds::Unknown(format!("{} is required, and {} is not known", assertion, assertion.key));
        }
        (value, Operator::Set) => value.is_some(),
        (value, Operator::NotSet) => value.is_none(),
        (None, _) => false,
        (Some(value), operator) => compares(value, operator, &assertion.values),
    };
    match (holds, value) {
        (true, _) => Holds::Yes,
        (false, Some(value)) => Holds::No(format!("{assertion} is required, and it is {value}")),
        (false, None) => Holds::No(format!("{assertion} is required, and it is not set")),
    }
}

fn compares(value: &AttributeValue, operator: Operator, wanted: &[AttributeValue]) -> bool {
    let first = || wanted.first().and_then(|wanted| order(value, wanted));
    match operator {
        Operator::Equal | Operator::In => {
            wanted.iter().any(|wanted| order(value, wanted) == Some(Ordering::Equal))
        }
        Operator::NotEqual | Operator::NotIn => {
            wanted.iter().all(|wanted| order(value, wanted) != Some(Ordering::Equal))
        }
        Operator::Less => first() == Some(Ordering::Less),
        Operator::LessOrEqual => first().is_some_and(Ordering::is_le),
        Operator::Greater => first() == Some(Ordering::Greater),
        Operator::GreaterOrEqual => first().is_some_and(Ordering::is_ge),
        Operator::Set | Operator::NotSet => false,
    }
}

/// The order of two values of one kind; texts are compared as versions are, part by part.
fn order(one: &AttributeValue, other: &AttributeValue) -> Option<Ordering> {
    match (one, other) {
        (AttributeValue::Text(one), AttributeValue::Text(other)) => Some(version_order(one, other)),
        (AttributeValue::Number(one), AttributeValue::Number(other)) => one.partial_cmp(other),
        (AttributeValue::Bool(one), AttributeValue::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// `1.9` is below `1.60.1`; where a part is no number, the texts decide.
fn version_order(one: &str, other: &str) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    let parts = |text: &str| text.split(['.', '-', '+']).map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (parts(one), parts(other));
    for (left, right) in one.iter().zip(&other) {
        let order = match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        for (low, high) in
            [("1.9", "1.60.1"), ("1.60", "1.60.1"), ("13.4.0", "14.0"), ("1.100.2-dev", "1.102")]
        {
            assert_eq!(version_order(low, high), Ordering::Less, "{low} {high}");
            assert_eq!(version_order(high, low), Ordering::Greater, "{low} {high}");
        }
        assert_eq!(version_order("macos", "macos"), Ordering::Equal);
    }
}
