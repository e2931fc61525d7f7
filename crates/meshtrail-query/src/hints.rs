//! What a filter lets a reader skip without reading it.

use meshtrail_event::{Family, Kind, Timestamp};

use crate::expr::Expr;
use crate::field::Field;
use crate::matching::{UNRESOLVED, kind_fits, source_of};
use crate::pattern::Pattern;

/// Properties that all matching leaves have in common. A reader may skip leaves without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanHints {
    /// The families of matching leaves.
    pub families: Vec<Family>,
    /// The first possible time.
    pub since: Option<Timestamp>,
    /// The first time after the possible ones.
    pub until: Option<Timestamp>,
    /// Columns that must have an accepted value.
    pub required: Vec<RequiredColumn>,
}

/// A column that must have one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredColumn {
    /// The column's name in a segment, one that every family has.
    pub column: &'static str,
    values: Vec<Pattern>,
}

impl RequiredColumn {
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

/// Properties that all matches of an expression have in common.
struct CommonBounds {
    families: Vec<Family>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    required: Vec<RequiredColumn>,
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
        // Only columns that both sides require are still required.
        let mut both = Vec::new();
        for mut mine in self.required {
            if let Some(theirs) = other.required.iter().find(|theirs| theirs.column == mine.column) {
                mine.values.extend(theirs.values.iter().cloned());
                both.push(mine);
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
                let families = if *field == Field::Kind { families(values) } else { Family::ALL.to_vec() };
                CommonBounds {
                    families,
                    required: required_column(*field, values).into_iter().collect(),
                    ..CommonBounds::none()
                }
            }
            Expr::Not(_) | Expr::Address(_) => CommonBounds::none(),
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
    let mut found: Vec<Family> =
        Kind::KNOWN.iter().filter(|kind| fits(kind.as_str())).map(Kind::family).collect();
    // A pattern or a prefix may also match kinds of a newer version, which are in this family.
    if !values.iter().all(is_a_kind) {
        found.push(Family::Other);
    }
    found
}

fn is_a_kind(pattern: &Pattern) -> bool {
    !pattern.is_wild() && Kind::KNOWN.iter().any(|kind| kind.as_str().eq_ignore_ascii_case(pattern.text()))
}

/// The column that a term requires, if it looks at a single one.
fn required_column(field: Field, values: &[Pattern]) -> Option<RequiredColumn> {
    let column = match field {
        Field::Kind => KIND,
        Field::Outcome => "outcome",
        Field::Session => "session",
        Field::Source | Field::Id => SOURCE,
        // Without a status an event counts as unresolved, and the column is empty.
        Field::Identity if !values.iter().any(|pattern| pattern.fits(UNRESOLVED)) => "identity_status",
        _ => return None,
    };
    if field != Field::Id {
        return Some(RequiredColumn { column, values: values.to_vec() });
    }
    let source =
        |pattern: &Pattern| source_of(pattern.text()).filter(|_| !pattern.is_wild()).map(Pattern::literal);
    let values = values.iter().map(source).collect::<Option<Vec<_>>>()?;
    Some(RequiredColumn { column, values })
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
        let required =
            |text: &str| -> Vec<&str> { hints(text).required.iter().map(|one| one.column).collect() };
        assert_eq!(required("outcome:denied rm"), ["outcome"]);
        assert_eq!(required("outcome:Denied OR outcome:failure"), ["outcome"]);
        assert_eq!(required("id:main.recorder.3.17 kind:ssh"), ["id_source", "kind"]);
        for without in
            ["outcome:denied OR rm", "-outcome:denied", "id:main.*", "identity:unresolved", "identity:*"]
        {
            assert!(required(without).is_empty(), "{without}");
        }
        let either = &hints("outcome:Denied OR outcome:f*").required[0];
        assert!(either.accepts("denied") && either.accepts("failure") && !either.accepts("success"));
        let kind = &hints("kind:ssh.session").required[0];
        assert!(kind.accepts("ssh.session.ended") && !kind.accepts("ssh.login"));
    }
}
