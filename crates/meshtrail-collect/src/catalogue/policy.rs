//! What a record of a changed policy says beyond "it changed".

use meshtrail_event::{Change, Detail, Draft, Kind, Outcome, Target};
use serde_json::Value;

use crate::diff;

/// Fills the change with what changed, where both texts are there; what follows from it are events of their own: tags
/// that came and went, and that the policy's tests passed.
pub(super) fn told(
    change: &mut Change,
    draft: &Draft,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Vec<Draft> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let (Some(old), Some(new)) = (text(old), text(new)) else { return Vec::new() };
    let told = diff::policy(&old, &new);
    if let Some(summary) = &mut change.summary {
        let what = told.summary();
        let what = what.strip_prefix("The policy changed: ").unwrap_or(&what);
        summary.push_str(&format!(": {what}"));
    }
    if draft.outcome != Outcome::Success {
        change.diff = Some(told.diff).filter(|diff| !diff.is_empty());
        return Vec::new();
    }
    if let Some(problem) = &told.problem {
        change.error = Some(format!("can't be read here: {problem}"));
    }
    change.lines.extend(told.lines.iter().cloned());
    change.diff = Some(told.diff.clone()).filter(|diff| !diff.is_empty());
    let mut follows = Vec::new();
    let tags = |kind: Kind, tags: &[String], what: &str| -> Vec<Draft> {
        let one = |tag: &String| {
            follower(change, draft, kind.clone(), Some(tag), format!("{tag} {what} in the policy"))
        };
        tags.iter().map(one).collect()
    };
    follows.extend(tags(Kind::PolicyTagCreated, &told.tags_created, "has owners now"));
    follows.extend(tags(Kind::PolicyTagDeleted, &told.tags_deleted, "has no owners any more"));
    if told.tests > 0 && told.problem.is_none() {
        let summary = format!("The policy was saved, which its {} tests must pass for", told.tests);
        follows.push(follower(change, draft, Kind::PolicyTested, None, summary));
    }
    follows
}

/// An event that follows from a change: by the same actor, in the same operation.
fn follower(change: &Change, draft: &Draft, kind: Kind, tag: Option<&String>, summary: String) -> Draft {
    let told = Change {
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
    follower.detail = Some(Detail::Change(Box::new(told)));
    follower
}
