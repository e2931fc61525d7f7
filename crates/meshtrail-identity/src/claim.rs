//! Checks a sender's claim about a device against the providers.

use std::collections::{BTreeSet, HashMap};

use meshtrail_event::{Claim, Timestamp};

use crate::local_api::Status;
use crate::resolution::Unresolved;
use crate::subject::{Contradiction, Owner, Provider, Subject, same_name, tags_text};

/// The result of checking a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimCheck {
    /// A provider knows the device, and the claim is true.
    Agrees {
        /// The device and its owner, as the provider knows them.
        subject: Box<Subject>,
        /// The provider.
        provider: Provider,
        /// The time of the provider's answer.
        as_of: Timestamp,
    },
    /// A provider knows the device, and contradicts the claim.
    Conflicts {
        /// The contradictions between the claim and the provider's answer.
        what: Vec<Contradiction>,
        /// The device and its owner, as the provider knows them.
        subject: Box<Subject>,
        /// The provider.
        provider: Provider,
        /// The time of the provider's answer.
        as_of: Timestamp,
    },
    /// No provider knows the device.
    Unknown {
        /// The reason.
        why: String,
    },
}

impl ClaimCheck {
    pub(crate) fn owner_mut(&mut self) -> Option<&mut Owner> {
        match self {
            ClaimCheck::Agrees { subject, .. } | ClaimCheck::Conflicts { subject, .. } => {
                subject.owner.as_mut()
            }
            ClaimCheck::Unknown { .. } => None,
        }
    }
}

/// All devices of one provider at one moment, by id and name.
pub(crate) struct Devices {
    subjects: Vec<Subject>,
    by_id: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    pub(crate) as_of: Timestamp,
}

impl Devices {
    pub(crate) fn from_status(status: &Status, as_of: Timestamp) -> Devices {
        let subjects: Vec<Subject> = status.subjects().collect();
        let mut devices =
            Devices { subjects: Vec::new(), by_id: HashMap::new(), by_name: HashMap::new(), as_of };
        for (index, subject) in subjects.iter().enumerate() {
            devices.by_id.extend(subject.stable_id.clone().map(|id| (id, index)));
            devices.by_name.extend(subject.name.as_deref().map(|name| (name.to_ascii_lowercase(), index)));
        }
        Devices { subjects, ..devices }
    }

    /// The device that the claim is about: by id, or by name if the id is unknown.
    pub(crate) fn find(&self, claim: &Claim) -> Option<&Subject> {
        let by_id = claim.node_id.as_ref().and_then(|id| self.by_id.get(id));
        let named = |name: &String| self.by_name.get(&name.trim_end_matches('.').to_ascii_lowercase());
        by_id.or_else(|| claim.node.as_ref().and_then(named)).map(|&index| &self.subjects[index])
    }
}

/// The contradictions between a claim and a known device. A property that is not claimed does not contradict, with one
/// exception: a claim with either login or tags claims both.
pub(crate) fn contradictions(claim: &Claim, known: &Subject) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let mut differ = |what, one: String, other: String| found.push(Contradiction { what, one, other });
    if let (Some(claimed), Some(known)) = (&claim.node_id, &known.stable_id)
        && claimed != known
    {
        differ("node id", claimed.clone(), known.clone());
    }
    if let (Some(claimed), Some(known)) = (&claim.node, &known.name)
        && !same_name(claimed, known)
    {
        differ("node name", claimed.clone(), known.clone());
    }
    if !names_owner(claim) || !known.names_owner() {
        return found;
    }
    let login = claim.login.as_ref().map(|login| login.to_lowercase());
    if login != known.login() {
        let text = |login: Option<&String>| login.cloned().unwrap_or_else(|| "no person".to_owned());
        differ("login", text(claim.login.as_ref()), text(known.owner.as_ref().map(|owner| &owner.login)));
    }
    let tags: BTreeSet<String> = claim.tags.iter().cloned().collect();
    if tags != known.tags {
        differ("tags", tags_text(&tags), tags_text(&known.tags));
    }
    found
}

fn names_owner(claim: &Claim) -> bool {
    claim.login.is_some() || !claim.tags.is_empty()
}

/// One provider's verdict on a claim about a known device.
pub(crate) fn verdict(claim: &Claim, known: &Subject, provider: Provider, as_of: Timestamp) -> ClaimCheck {
    let what = contradictions(claim, known);
    if what.is_empty() && names_owner(claim) && !known.names_owner() {
        return ClaimCheck::Unknown { why: Unresolved::NoOwner.to_string() };
    }
    let subject = Box::new(known.clone());
    if what.is_empty() {
        ClaimCheck::Agrees { subject, provider, as_of }
    } else {
        ClaimCheck::Conflicts { what, subject, provider, as_of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laptop() -> Subject {
        let owner = Owner { login: "alice@example.com".to_owned(), ..Owner::default() };
        let (name, stable_id) = (Some("laptop.tail.example".to_owned()), Some("n7".to_owned()));
        Subject { name, stable_id, owner: Some(owner), ..Subject::default() }
    }

    fn whats(claim: &Claim) -> Vec<&'static str> {
        contradictions(claim, &laptop()).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn a_true_claim_agrees_whatever_its_spelling() {
        let claim = Claim {
            login: Some("Alice@example.com".to_owned()),
            node: Some("Laptop.tail.example.".to_owned()),
            node_id: Some("n7".to_owned()),
            tags: vec![],
        };
        assert!(whats(&claim).is_empty());
    }

    #[test]
    fn each_false_part_of_a_claim_is_named() {
        let claim = Claim {
            login: Some("mallory@example.com".to_owned()),
            node: Some("other.tail.example".to_owned()),
            node_id: Some("n8".to_owned()),
            tags: vec!["tag:prod".to_owned()],
        };
        assert_eq!(whats(&claim), ["node id", "node name", "login", "tags"]);
    }

    #[test]
    fn tags_claimed_of_a_persons_device_deny_the_person_too() {
        let claim = Claim { tags: vec!["tag:prod".to_owned()], ..Claim::default() };
        assert_eq!(whats(&claim), ["login", "tags"]);
        assert!(whats(&Claim::default()).is_empty());
    }

    #[test]
    fn a_device_without_a_known_owner_confirms_nobody() {
        let claim = Claim { login: Some("alice@example.com".to_owned()), ..Claim::default() };
        let known = Subject { owner: None, ..laptop() };
        let verdict = verdict(&claim, &known, Provider::LocalApi, Timestamp::default());
        assert!(matches!(verdict, ClaimCheck::Unknown { .. }), "{verdict:?}");
    }
}
