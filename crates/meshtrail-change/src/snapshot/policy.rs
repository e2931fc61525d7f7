//! What changed about a policy file, as drafts.
//!
//! The `policy.changed` event says what changed and where; the new text follows it in full, in as many parts as it
//! needs.

use meshtrail_event::{Draft, Json, Kind};
use meshtrail_policy::{PolicyChange, compare, hujson};

use super::change_writer::{ChangeWriter, Subject, edit, policy_version, sha256_hex};
use super::{Origin, PolicyText};

/// The first snapshot of a policy: its text, and its syntax error if it has one.
pub(super) fn baseline(writer: &ChangeWriter, policy: &PolicyText) -> Vec<Draft> {
    let mut drafts = writer.policy(policy);
    if let Err(problem) = hujson::parse(&policy.text)
        && let Some(first) = drafts.first_mut()
    {
        edit(first, |change| change.error = Some(problem.to_string()));
    }
    drafts
}

/// The drafts of a new text: where only comments or layout differ, the text alone.
pub(super) fn drafts(writer: &ChangeWriter, old: &PolicyText, new: &PolicyText) -> Vec<Draft> {
    if old.text == new.text {
        return Vec::new();
    }
    let change = compare(&old.text, &new.text);
    if change.lines.is_empty() && change.problem.is_none() {
        return writer.policy(new);
    }
    let subject = Subject::part("policy");
    let mut draft = writer.change(Kind::PolicyChanged, &subject, "policy", change.summary());
    edit(&mut draft, |detail| {
        detail.diff = Some(change.diff.clone()).filter(|diff| !diff.is_empty());
        detail.digest = Some(sha256_hex(&new.text));
        detail.error = change.problem.as_ref().map(ToString::to_string);
        detail.lines = change.lines.clone();
        (detail.old, detail.new) =
            (Some(Json::from(&policy_version(old))), Some(Json::from(&policy_version(new))));
    });
    if let Some(updated) =
        new.updated.filter(|at| *at <= writer.taken && writer.not_before.is_none_or(|before| *at >= before))
    {
        draft.time = updated;
    }
    let mut drafts = vec![draft];
    drafts.extend(tag_drafts(writer, &change));
    drafts.extend(tests_draft(writer, &change));
    drafts.extend(writer.policy(new));
    drafts
}

fn tag_drafts<'a>(writer: &'a ChangeWriter, change: &'a PolicyChange) -> impl Iterator<Item = Draft> + 'a {
    let one = |kind: Kind, what: &'static str| {
        move |tag: &String| {
            writer.change(
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

/// The draft that the policy's own tests passed. Tailscale saves a policy only if they do; for Headscale this is not
/// known, so there is none.
fn tests_draft(writer: &ChangeWriter, change: &PolicyChange) -> Option<Draft> {
    if change.tests == 0 || change.problem.is_some() || writer.origin != Origin::Tailscale {
        return None;
    }
    let summary = format!("The policy was saved, which its {} tests must pass for", change.tests);
    Some(writer.change(Kind::PolicyTested, &Subject::part("policy"), "tests", summary))
}
