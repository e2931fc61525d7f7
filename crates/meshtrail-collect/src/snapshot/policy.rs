//! What changed about a policy file, as drafts.

use meshtrail_event::{Draft, Json, Kind};

use super::PolicyText;
use super::tell::{Subject, Teller, digest, edit, version};

/// What a new text says beyond the old one: nothing where only comments or layout differ, but the text itself.
pub(super) fn drafts(teller: &Teller, old: &PolicyText, new: &PolicyText) -> Vec<Draft> {
    if old.text == new.text {
        return Vec::new();
    }
    let summary = "The policy file changed".to_owned();
    let mut draft = teller.change(Kind::PolicyChanged, &Subject::part("policy"), "policy", summary);
    edit(&mut draft, |change| {
        change.digest = Some(digest(&new.text));
        (change.old, change.new) =
            (Some(Json::from(&version(old))), Some(Json::from(&version(new))));
    });
    let mut drafts = vec![draft];
    drafts.extend(teller.policy(new));
    drafts
}

/// A finding's ground where the policy can't be read.
pub(super) fn problem(_: &Teller, _: Option<&PolicyText>, _: &PolicyText) -> Vec<Draft> {
    Vec::new()
}
