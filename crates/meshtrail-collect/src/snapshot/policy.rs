//! What changed about a policy file, as drafts.
//!
//! The change tells what and where; the new text follows it in full, in as many parts as it needs.

use meshtrail_event::{Draft, Json, Kind};

use super::tell::{Subject, Teller, digest, edit, version};
use super::{Origin, PolicyText};
use crate::diff;
use crate::hujson;

/// The first sight of a policy: its text, and what is wrong with it.
pub(super) fn baseline(teller: &Teller, policy: &PolicyText) -> Vec<Draft> {
    let mut drafts = teller.policy(policy);
    if let Err(problem) = hujson::parse(&policy.text)
        && let Some(first) = drafts.first_mut()
    {
        edit(first, |change| change.error = Some(problem.to_string()));
    }
    drafts
}

/// What a new text says beyond the old one: where only comments or layout differ, the text alone.
pub(super) fn drafts(teller: &Teller, old: &PolicyText, new: &PolicyText) -> Vec<Draft> {
    if old.text == new.text {
        return Vec::new();
    }
    let change = diff::policy(&old.text, &new.text);
    if change.lines.is_empty() && change.problem.is_none() {
        return teller.policy(new);
    }
    let subject = Subject::part("policy");
    let mut draft = teller.change(Kind::PolicyChanged, &subject, "policy", change.summary());
    edit(&mut draft, |told| {
        told.diff = Some(change.diff.clone()).filter(|diff| !diff.is_empty());
        told.digest = Some(digest(&new.text));
        told.error = change.problem.as_ref().map(ToString::to_string);
        told.lines = change.lines.clone();
        (told.old, told.new) = (Some(Json::from(&version(old))), Some(Json::from(&version(new))));
    });
    if let Some(updated) =
        new.updated.filter(|at| *at <= teller.taken && teller.not_before.is_none_or(|before| *at >= before))
    {
        draft.time = updated;
    }
    let mut drafts = vec![draft];
    drafts.extend(tags(teller, &change));
    drafts.extend(tested(teller, &change));
    drafts.extend(teller.policy(new));
    drafts
}

fn tags<'a>(teller: &'a Teller, change: &'a diff::PolicyChange) -> impl Iterator<Item = Draft> + 'a {
    let one = |kind: Kind, what: &'static str| {
        move |tag: &String| {
            teller.change(
                kind.clone(),
                &Subject::tag(tag),
                "tagOwners",
                format!("{tag} {what} in the policy"),
            )
        }
    };
    let created = change.tags_created.iter().map(one(Kind::PolicyTagCreated, "has owners now"));
    created.chain(change.tags_deleted.iter().map(one(Kind::PolicyTagDeleted, "has no owners any more")))
}

/// Tailscale saves a policy only when its own tests pass; of Headscale nobody knows.
fn tested(teller: &Teller, change: &diff::PolicyChange) -> Option<Draft> {
    if change.tests == 0 || change.problem.is_some() || teller.origin != Origin::Tailscale {
        return None;
    }
    let summary = format!("The policy was saved, which its {} tests must pass for", change.tests);
    Some(teller.change(Kind::PolicyTested, &Subject::part("policy"), "tests", summary))
}
