//! Changes of a person between two snapshots.

use meshtrail_event::text::join_list;
use meshtrail_event::{Kind, UserState};

use super::words;

/// One change of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserChange {
    /// The kind of its event.
    pub kind: Kind,
    /// The member of [`UserState`] that changed: `role`, `status`.
    pub property: &'static str,
    /// A sentence for people.
    pub summary: String,
}

/// The changes of a person from `old` to `new`. `active` and `idle` are the same status: they only depend on when the
/// person was last seen.
pub fn user(old: &UserState, new: &UserState) -> Vec<UserChange> {
    let who = words::user(old);
    let mut list = Vec::new();
    let mut push = |kind, property, what: String| {
        list.push(UserChange { kind, property, summary: format!("{who} {what}") });
    };
    if old.login != new.login && !old.login.is_empty() && !new.login.is_empty() {
        push(Kind::UserChanged, "login", format!("signs in as {} now", new.login));
    }
    if let (Some(from), Some(to)) = (&old.name, &new.name)
        && from != to
    {
        push(Kind::UserChanged, "name", format!("is called {to} now, before {from}"));
    }
    if let (Some(from), Some(to)) = (&old.role, &new.role)
        && from != to
    {
        push(Kind::UserRoleChanged, "role", format!("is {to} now, before {from}"));
    }
    if let (Some(from), Some(to)) = (stable_status(old), stable_status(new))
        && from != to
    {
        match (from, to) {
            (_, "suspended") => push(Kind::UserSuspended, "status", "was suspended".to_owned()),
            ("suspended", _) => push(Kind::UserRestored, "status", "was restored".to_owned()),
            ("needs-approval", "active") => push(Kind::UserChanged, "status", "was approved".to_owned()),
            _ => push(Kind::UserChanged, "status", format!("is {to} now, before {from}")),
        }
    }
    if old.groups != new.groups {
        let added: Vec<_> = new.groups.difference(&old.groups).collect();
        let removed: Vec<_> = old.groups.difference(&new.groups).collect();
        let what = match (added.is_empty(), removed.is_empty()) {
            (false, true) => format!("is in {} now", join_list(&added)),
            (true, false) => format!("is no longer in {}", join_list(&removed)),
            _ => format!("is in {} now, no longer in {}", join_list(&added), join_list(&removed)),
        };
        push(Kind::UserChanged, "groups", what);
    }
    if let (Some(from), Some(to)) = (&old.of_type, &new.of_type)
        && from != to
    {
        push(Kind::UserChanged, "type", format!("is {to} now, before {from}"));
    }
    list
}

/// The status, with `idle` as `active`.
fn stable_status(user: &UserState) -> Option<&str> {
    user.status.as_deref().map(|status| if status == "idle" { "active" } else { status })
}
