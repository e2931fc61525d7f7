//! What a filter lets a reader skip without looking.

use meshtrail_event::{Family, Kind, Timestamp};

use crate::expr::Expr;
use crate::field::Field;
use crate::matching::{UNRESOLVED, kind_fits, source_of};
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
    /// Columns that must have an accepted value: one without any is not met.
    pub needed: Vec<Needed>,
}

/// A column that must have one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The column's name in a segment, one that every family has.
    pub column: &'static str,
    values: Vec<Pattern>,
}

impl Needed {
    /// Whether this value is one of them.
    pub fn accepts(&self, value: &str) -> bool {
        let fits = |pattern: &Pattern| match self.column {
            KIND => kind_fits(pattern, value),
            _ => pattern.fits(value),
        };
        self.values.iter().any(fits)
    }
}

const KIND: &str = "kind";
const SOURCE: &str = "id_source";

/// What an expression's matches have in common.
struct Bounds {
    families: Vec<Family>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    needed: Vec<Needed>,
}

impl Bounds {
    fn none() -> Bounds {
        Bounds { families: Family::ALL.to_vec(), since: None, until: None, needed: Vec::new() }
    }

    fn and(mut self, other: Bounds) -> Bounds {
        self.families.retain(|family| other.families.contains(family));
        self.since = self.since.max(other.since);
        self.until = match (self.until, other.until) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.needed.extend(other.needed);
        self
    }

    fn or(mut self, other: Bounds) -> Bounds {
        self.families.extend(other.families);
        self.since = self.since.zip(other.since).map(|(one, two)| one.min(two));
        self.until = self.until.zip(other.until).map(|(one, two)| one.max(two));
        // Each side may do without the other's columns; only what both need is still needed.
        let mut both = Vec::new();
        for mut mine in self.needed {
            if let Some(theirs) = other.needed.iter().find(|theirs| theirs.column == mine.column) {
                mine.values.extend(theirs.values.iter().cloned());
                both.push(mine);
            }
        }
        self.needed = both;
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
            Expr::Term(field, values) => {
                let families = if *field == Field::Kind { families(values) } else { Family::ALL.to_vec() };
                Bounds { families, needed: needed(*field, values).into_iter().collect(), ..Bounds::none() }
            }
            Expr::Not(_) | Expr::Address(_) => Bounds::none(),
        }
    }
}

pub(crate) fn scan_hints(expr: &Expr, now: Timestamp) -> ScanHints {
    let bounds = Bounds::of(expr, now);
    let families = Family::ALL.into_iter().filter(|family| bounds.families.contains(family)).collect();
    ScanHints { families, since: bounds.since, until: bounds.until, needed: bounds.needed }
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

/// The column that a term looks at, where it is a single one.
fn needed(field: Field, values: &[Pattern]) -> Option<Needed> {
    let column = match field {
        Field::Kind => KIND,
        Field::Outcome => "outcome",
        Field::Session => "session",
        Field::Source | Field::Id => SOURCE,
        // Without a status it counts as unresolved, and no value stands in the column.
        Field::Identity if !values.iter().any(|pattern| pattern.fits(UNRESOLVED)) => "identity_status",
        _ => return None,
    };
    if field != Field::Id {
        return Some(Needed { column, values: values.to_vec() });
    }
    let source =
        |pattern: &Pattern| source_of(pattern.text()).filter(|_| !pattern.is_wild()).map(Pattern::literal);
    let values = values.iter().map(source).collect::<Option<Vec<_>>>()?;
    Some(Needed { column, values })
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
    fn columns_are_needed_that_every_match_must_have() {
        let needed = |text: &str| -> Vec<&str> { hints(text).needed.iter().map(|one| one.column).collect() };
        assert_eq!(needed("outcome:denied rm"), ["outcome"]);
        assert_eq!(needed("outcome:Denied OR outcome:failure"), ["outcome"]);
        assert_eq!(needed("id:main.recorder.3.17 kind:ssh"), ["id_source", "kind"]);
        for without in
            ["outcome:denied OR rm", "-outcome:denied", "id:main.*", "identity:unresolved", "identity:*"]
        {
            assert!(needed(without).is_empty(), "{without}");
        }
        let either = &hints("outcome:Denied OR outcome:f*").needed[0];
        assert!(either.accepts("denied") && either.accepts("failure") && !either.accepts("success"));
        let kind = &hints("kind:ssh.session").needed[0];
        assert!(kind.accepts("ssh.session.ended") && !kind.accepts("ssh.login"));
    }
}
