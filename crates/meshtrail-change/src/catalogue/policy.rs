//! The changes inside a policy, for a record that only says that it changed.

use meshtrail_event::{Change, Detail, Draft, Kind, Outcome, Target};
use serde_json::Value;

/// Adds to the change what changed in the policy, if the record has both texts. Returns the events that follow from it:
/// tags created and deleted, and that the policy's tests passed.
pub(super) fn describe_changes(
    change: &mut Change,
    draft: &Draft,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Vec<Draft> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let (Some(old), Some(new)) = (text(old), text(new)) else { return Vec::new() };
    let policy = meshtrail_policy::compare(&old, &new);
    if let Some(summary) = &mut change.summary {
        let what = policy.summary();
        let what = what.strip_prefix("The policy changed: ").unwrap_or(&what);
        summary.push_str(&format!(": {what}"));
    }
    if draft.outcome != Outcome::Success {
        change.diff = Some(policy.diff).filter(|diff| !diff.is_empty());
        return Vec::new();
    }
    if let Some(problem) = &policy.problem {
        change.error = Some(format!("can't be read here: {problem}"));
    }
    change.lines.extend(policy.lines.iter().cloned());
    change.diff = Some(policy.diff.clone()).filter(|diff| !diff.is_empty());
    let mut follows = Vec::new();
    let tags = |kind: Kind, tags: &[String], what: &str| -> Vec<Draft> {
        let one = |tag: &String| {
            following_draft(change, draft, kind.clone(), Some(tag), format!("{tag} {what} in the policy"))
        };
        tags.iter().map(one).collect()
    };
    follows.extend(tags(Kind::PolicyTagCreated, &policy.tags_created, "has owners now"));
    follows.extend(tags(Kind::PolicyTagDeleted, &policy.tags_deleted, "has no owners any more"));
    if policy.tests > 0 && policy.problem.is_none() {
        let summary = format!("The policy was saved, which its {} tests must pass for", policy.tests);
        follows.push(following_draft(change, draft, Kind::PolicyTested, None, summary));
    }
    follows
}

/// An event that follows from a change: by the same actor, in the same operation.
fn following_draft(
    change: &Change,
    draft: &Draft,
    kind: Kind,
    tag: Option<&String>,
    summary: String,
) -> Draft {
    let detail = Change {
        operation: change.operation.clone(),
        origin: change.origin.clone(),
        property: Some(if tag.is_some() { "tagOwners" } else { "tests" }.to_owned()),
        summary: Some(summary),
        via: change.via.clone(),
        ..Change::default()
    };
    let mut follower = Draft::new(kind, draft.time);
    (follower.actor, follower.identity) = (draft.actor.clone(), draft.identity.clone());
    follower.target = match tag {
        Some(tag) => Target {
            id: Some(tag.clone()),
            name: Some(tag.clone()),
            of_type: Some("tag".to_owned()),
            ..Target::default()
        },
        None => draft.target.clone(),
    };
    follower.detail = Some(Detail::Change(Box::new(detail)));
    follower
}
