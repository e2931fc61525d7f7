//! What a filter lets a reader skip without looking.

use meshtrail_event::{Family, Kind, Timestamp};

use crate::expr::Expr;
use crate::field::Field;
use crate::matching::kind_fits;
use crate::pattern::Pattern;

/// What every leaf that matches has in common. A reader may skip whatever lacks it, and need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanHints {
    /// The families it can be in.
    pub families: Vec<Family>,
    /// The first time it can have.
    pub since: Option<Timestamp>,
    /// The first time it can't have any more.
    pub until: Option<Timestamp>,
    /// Members that must be one of some texts, exactly.
    pub exact: Vec<Exact>,
}

/// A member that must be one of some texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// Where the member stands in a leaf.
    pub path: &'static [&'static str],
    /// The texts.
    pub one_of: Vec<String>,
}

/// What an expression's matches have in common.
struct Bounds {
    families: Vec<Family>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    exact: Vec<Exact>,
}

impl Bounds {
    fn none() -> Bounds {
        Bounds { families: Family::ALL.to_vec(), since: None, until: None, exact: Vec::new() }
    }

    fn and(mut self, other: Bounds) -> Bounds {
        self.families.retain(|family| other.families.contains(family));
        self.since = self.since.max(other.since);
        self.until = match (self.until, other.until) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.exact.extend(other.exact);
        self
    }

    fn or(mut self, other: Bounds) -> Bounds {
        self.families.extend(other.families);
        self.since = self.since.zip(other.since).map(|(one, two)| one.min(two));
        self.until = self.until.zip(other.until).map(|(one, two)| one.max(two));
        // Each side may do without the other's members; only what both need is still needed.
        let mut both = Vec::new();
        for mut mine in self.exact {
            if let Some(theirs) = other.exact.iter().find(|theirs| theirs.path == mine.path) {
                mine.one_of.extend(theirs.one_of.iter().cloned());
                both.push(mine);
            }
        }
        self.exact = both;
        self
    }

    fn of(expr: &Expr, now: Timestamp) -> Bounds {
        match expr {
            Expr::All(parts) => {
                parts.iter().fold(Bounds::none(), |bounds, part| bounds.and(Bounds::of(part, now)))
            }
            Expr::Any(parts) => {
                let mut each = parts.iter().map(|part| Bounds::of(part, now));
                let first = each.next().unwrap_or_else(Bounds::none);
                each.fold(first, Bounds::or)
            }
            Expr::Since(moment) => Bounds { since: Some(moment.begins(now)), ..Bounds::none() },
            Expr::Until(moment) => Bounds { until: Some(moment.ends(now)), ..Bounds::none() },
            Expr::Term(Field::Kind, values) => {
                Bounds { families: families(values), exact: exact_kinds(values), ..Bounds::none() }
            }
            Expr::Term(field, values) => Bounds { exact: exact(*field, values), ..Bounds::none() },
            Expr::Not(_) | Expr::Address(_) => Bounds::none(),
        }
    }
}

pub(crate) fn scan_hints(expr: &Expr, now: Timestamp) -> ScanHints {
    let bounds = Bounds::of(expr, now);
    let families = Family::ALL.into_iter().filter(|family| bounds.families.contains(family)).collect();
    let mut exact = bounds.exact;
    for member in &mut exact {
        member.one_of.sort_unstable();
        member.one_of.dedup();
    }
    ScanHints { families, since: bounds.since, until: bounds.until, exact }
}

fn families(values: &[Pattern]) -> Vec<Family> {
    let fits = |kind: &str| values.iter().any(|pattern| kind_fits(pattern, kind));
    let mut found: Vec<Family> =
        Kind::KNOWN.iter().filter(|kind| fits(kind.as_str())).map(Kind::family).collect();
    // A pattern or a beginning may also fit kinds of a newer version, which are in this family.
    if !values.iter().all(is_a_kind) {
        found.push(Family::Other);
    }
    found
}

fn is_a_kind(pattern: &Pattern) -> bool {
    !pattern.is_wild() && Kind::KNOWN.iter().any(|kind| kind.as_str().eq_ignore_ascii_case(pattern.text()))
}

/// Kinds that are written out whole; no kind goes on after another's name with a dot.
fn exact_kinds(values: &[Pattern]) -> Vec<Exact> {
    if !values.iter().all(is_a_kind) {
        return Vec::new();
    }
    let one_of = values.iter().map(|pattern| pattern.text().to_ascii_lowercase()).collect();
    vec![Exact { path: &["kind"], one_of }]
}

/// Members whose texts have one spelling, so that a filter's value is the member's or not.
fn exact(field: Field, values: &[Pattern]) -> Vec<Exact> {
    let path: &'static [&'static str] = match field {
        Field::Outcome => &["outcome"],
        Field::Session => &["session"],
        Field::Identity => &["identity", "status"],
        Field::Id => &["id"],
        _ => return Vec::new(),
    };
    if values.iter().any(Pattern::is_wild) {
        return Vec::new();
    }
    vec![Exact { path, one_of: values.iter().map(|pattern| pattern.text().to_ascii_lowercase()).collect() }]
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
        assert_eq!(hints("kind:ssh.session.ended").families, [Family::Session]);
        assert_eq!(hints("kind:ssh.*").families, [Family::Session, Family::Login, Family::Other]);
        assert_eq!(hints("kind:flow.opened OR kind:log.line").families, [Family::Flow, Family::Log]);
        assert_eq!(hints("-kind:ssh.*").families.len(), Family::ALL.len());
        assert!(hints("kind:flow.opened kind:log.line").families.is_empty());
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
    fn exact_members_are_those_that_every_match_must_have() {
        let outcome = |texts: &[&str]| Exact {
            path: &["outcome"],
            one_of: texts.iter().map(|&text| text.to_owned()).collect(),
        };
        assert_eq!(hints("outcome:denied rm").exact, [outcome(&["denied"])]);
        assert_eq!(hints("outcome:Denied OR outcome:failure").exact, [outcome(&["denied", "failure"])]);
        assert_eq!(hints("outcome:denied OR rm").exact, []);
        assert_eq!(hints("-outcome:denied outcome:d*").exact, []);
    }
}
