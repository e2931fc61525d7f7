//! What a filter lets a reader skip without reading it.

use meshtrail_event::{Family, Kind, Timestamp};

use crate::expr::Expr;
use crate::field::Field;
use crate::matching::kind_fits;
use crate::pattern::Pattern;
use crate::requirement::Requirement;

/// Properties that all matching leaves have in common. A reader may skip leaves without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanHints {
    /// The families of matching leaves.
    pub families: Vec<Family>,
    /// The first possible time.
    pub since: Option<Timestamp>,
    /// The first time after the possible ones.
    pub until: Option<Timestamp>,
    /// What columns must have; all of these hold.
    pub required: Vec<Requirement>,
}

/// Properties that all matches of an expression have in common.
struct CommonBounds {
    families: Vec<Family>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    required: Vec<Requirement>,
}

impl CommonBounds {
    fn none() -> CommonBounds {
        CommonBounds { families: Family::ALL.to_vec(), since: None, until: None, required: Vec::new() }
    }

    fn and(mut self, other: CommonBounds) -> CommonBounds {
        self.families.retain(|family| other.families.contains(family));
        self.since = self.since.max(other.since);
        self.until = match (self.until, other.until) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.required.extend(other.required);
        self
    }

    fn or(mut self, other: CommonBounds) -> CommonBounds {
        self.families.extend(other.families);
        self.since = self.since.zip(other.since).map(|(one, two)| one.min(two));
        self.until = self.until.zip(other.until).map(|(one, two)| one.max(two));
        // With something required on both sides, one of the two holds. The same columns say the most together.
        let mut both = Vec::new();
        for mine in self.required {
            let same = other.required.iter().find(|theirs| theirs.is_of(&mine));
            if let Some(theirs) = same.or(other.required.first()) {
                both.push(mine.or(theirs));
            }
        }
        self.required = both;
        self
    }

    fn of(expr: &Expr, now: Timestamp) -> CommonBounds {
        match expr {
            Expr::All(parts) => parts
                .iter()
                .fold(CommonBounds::none(), |bounds, part| bounds.and(CommonBounds::of(part, now))),
            Expr::Any(parts) => {
                let mut each = parts.iter().map(|part| CommonBounds::of(part, now));
                let first = each.next().unwrap_or_else(CommonBounds::none);
                each.fold(first, CommonBounds::or)
            }
            Expr::Since(moment) => CommonBounds { since: Some(moment.start(now)), ..CommonBounds::none() },
            Expr::Until(moment) => CommonBounds { until: Some(moment.end(now)), ..CommonBounds::none() },
            Expr::Term(field, values) => {
                let families = match field {
                    Field::Kind => families(values),
                    // A version that did not know a kind yet stored it under this family.
                    _ => field
                        .families()
                        .map_or(Family::ALL.to_vec(), |known| [known, &[Family::Other]].concat()),
                };
                CommonBounds {
                    families,
                    required: Requirement::of_term(*field, values).into_iter().collect(),
                    ..CommonBounds::none()
                }
            }
            Expr::Address(values) => {
                CommonBounds { required: vec![Requirement::of_addresses(values)], ..CommonBounds::none() }
            }
            Expr::Not(_) => CommonBounds::none(),
        }
    }
}

pub(crate) fn scan_hints(expr: &Expr, now: Timestamp) -> ScanHints {
    let bounds = CommonBounds::of(expr, now);
    let families = Family::ALL.into_iter().filter(|family| bounds.families.contains(family)).collect();
    ScanHints { families, since: bounds.since, until: bounds.until, required: bounds.required }
}

fn families(values: &[Pattern]) -> Vec<Family> {
    let fits = |kind: &str| values.iter().any(|pattern| kind_fits(pattern, kind));
    let kinds = Kind::KNOWN.iter().filter(|kind| fits(kind.as_str()));
    let mut found: Vec<Family> = kinds.flat_map(Kind::stored_families).collect();
    // Kinds of a newer version are in this family, and those that were stored by a version that did not know them yet.
    found.push(Family::Other);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;

    fn hints(text: &str) -> ScanHints {
        Filter::parse(text).unwrap().with_now("2026-11-20T12:00:00Z".parse().unwrap()).scan_hints()
    }

    #[test]
    fn kinds_narrow_the_families_and_a_beginning_leaves_room_for_newer_kinds() {
        assert_eq!(hints("kind:ssh.session.ended").families, [Family::Session, Family::Other]);
        assert_eq!(
            hints("kind:ssh.login OR kind:log.line").families,
            [Family::Login, Family::Log, Family::Other]
        );
        let with_transfers = [Family::Session, Family::Login, Family::Transfer, Family::Other];
        assert_eq!(hints("kind:ssh.*").families, with_transfers);
        // An older version had another family for these.
        assert_eq!(hints("kind:alert.sent").families, [Family::Finding, Family::Delivery, Family::Other]);
        assert_eq!(hints("file:*.csv").families, [Family::Transfer, Family::Other]);
        assert_eq!(hints("-kind:ssh.*").families.len(), Family::ALL.len());
        assert_eq!(hints("kind:flow.opened kind:log.line").families, [Family::Other]);
    }

    #[test]
    fn times_narrow_when_both_hold_and_widen_when_either_does() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let both = hints("since:24h since:2h until:1h");
        assert_eq!((both.since, both.until), (at("2026-11-20T10:00:00Z"), at("2026-11-20T11:00:00Z")));
        let either = hints("since:24h OR since:2h");
        assert_eq!((either.since, either.until), (at("2026-11-19T12:00:00Z"), None));
        assert_eq!(hints("since:24h OR rm").since, None);
        assert_eq!(hints("-since:24h").since, None);
    }

    #[test]
    fn columns_are_needed_that_every_match_must_have() {
        let required = |text: &str| -> Vec<&str> {
            hints(text).required.iter().flat_map(|one| &one.columns).map(|one| one.column).collect()
        };
        assert_eq!(required("outcome:denied rm"), ["outcome"]);
        assert_eq!(required("outcome:Denied OR outcome:failure"), ["outcome", "outcome"]);
        assert_eq!(required("id:main.recorder.3.17 kind:ssh"), ["id_source", "kind"]);
        assert_eq!(required("person:alice OR outcome:denied"), ["actor_login", "actor_name", "outcome"]);
        for without in [
            "outcome:denied OR rm",
            "-outcome:denied",
            "id:main.*",
            "identity:unresolved",
            "identity:*",
            "rm",
        ] {
            assert!(required(without).is_empty(), "{without}");
        }
    }

    #[test]
    fn columns_accept_what_their_field_would_find() {
        let accepts = |filter: &str, column: &str, value: &str| {
            let hints = hints(filter);
            let columns = hints.required[0].columns.iter().filter(|one| one.column == column);
            columns.clone().count() > 0 && columns.clone().any(|one| one.accepts(value))
        };
        assert!(accepts("outcome:Denied OR outcome:f*", "outcome", "failure"));
        assert!(!accepts("outcome:Denied OR outcome:f*", "outcome", "success"));
        assert!(accepts("kind:ssh.session", "kind", "ssh.session.ended"));
        assert!(!accepts("kind:ssh.session", "kind", "ssh.login"));
        assert!(accepts("device:db-1", "target_device_name", "db-1.tail.ts.net"));
        assert!(!accepts("device:db-1", "target_device_name", "db-10.tail.ts.net"));
        assert!(accepts("tag:prod", "actor_tags", r#"["tag:ci","tag:prod"]"#));
        assert!(!accepts("tag:prod", "actor_tags", r#"["tag:ci"]"#));
        assert!(
            accepts("address:100.64.0.7:22", "dst", "100.64.0.7")
                && accepts("address:*:22", "dst", "1.2.3.4")
        );
        assert!(!accepts("address:100.64.0.0/10", "src", "10.0.0.1"));
        assert!(accepts("target:kube/web-0", "target_name", "web-0"));
        assert!(!accepts("target:kube/web-0", "target_name", "web-1"));
        assert!(accepts("target:[fd7a::1]:22", "target_address", "fd7a::1"));
        assert!(accepts("command:RM", "command", "sudo rm -rf /") && accepts("command:rm", "detail", "{}"));
    }
}
