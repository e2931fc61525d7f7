//! The counts of the timeline: a histogram over time, and facets with the most frequent values.

use maud::{Markup, html};
use meshtrail_api::counts::{Extent, FacetValues, Facets, Histogram, Value};
use meshtrail_event::Timestamp;
use meshtrail_query::term;

use super::format;
use super::page_filter::PageFilter;

/// Bars of the histogram.
pub const BARS: usize = 96;

/// Most values shown of a facet.
pub const MAX_VALUES: usize = 8;

/// Number of parts of a bar that have their own tone.
const TONES: usize = 5;

/// The counts of one page.
pub struct CountsView<'a> {
    /// The page's filter.
    pub filter: &'a PageFilter,
    /// The bars, at most [`BARS`].
    pub histogram: &'a Histogram,
    /// The facets, with at most [`MAX_VALUES`] values each; they may cover fewer events than the bars.
    pub facets: &'a Facets,
    /// `kind` or `outcome`.
    pub by: &'a str,
}

impl CountsView<'_> {
    /// The histogram, with the extent of the count in words.
    pub(crate) fn histogram(&self) -> Markup {
        let (by_kind, histogram) = (self.by == "kind", self.histogram);
        let parts = parts(histogram, by_kind);
        html! {
            section.histogram #histogram aria-label="Events over time" data-whole=(histogram.extent.whole) {
                p.extent {
                    b { @if !histogram.extent.whole { "at least " } (format::plural(histogram.extent.matched, "event", "events")) }
                    (self.extent(&histogram.extent))
                    @if let Some(scale) = scale(histogram) { span.q.scale { " · " (scale) } }
                    @if histogram.outside > 0 {
                        span.unsure { " · " (format::count(histogram.outside)) " of them long before, by their own clock: not drawn" }
                    }
                    span.by { "by " (self.by_link("outcome")) " " (self.by_link("kind")) }
                }
                (self.drawing(histogram, &parts, by_kind))
                p.axis aria-hidden="true" { @for label in axis(histogram) { span { (label) } } }
                p.legend {
                    @for (tone, (part, count)) in parts.iter().enumerate().take(TONES) {
                        span class={ "tone t" (tone_of(part, tone, by_kind)) } {
                            a href=(self.filter.including(self.by, part)) { (format::clipped(part, 24)) } " " span.n { (format::count(*count)) }
                        }
                    }
                    @if parts.len() > TONES { span.tone.t5 { (parts.len() - TONES) " more " span.n { (format::count(parts[TONES..].iter().map(|(_, count)| count).sum())) } } }
                }
            }
        }
    }

    fn by_link(&self, by: &str) -> Markup {
        html! { a href=(self.filter.with_parameter("by", if by == "outcome" { "" } else { by })) aria-current=[(self.by == by).then_some("true")] { (by) } }
    }

    fn extent(&self, extent: &Extent) -> Markup {
        if extent.whole {
            return html! { @if extent.matched < extent.of { span.q { " of " (format::count(extent.of)) } } };
        }
        html! {
            span.q { ", counted in the newest " (format::count(extent.looked_at)) " of " (format::count(extent.of)) }
            " " a.further href=(self.filter.with_parameter("counts", "all")) { "count on" }
        }
    }

    fn drawing(&self, histogram: &Histogram, parts: &[(String, u64)], by_kind: bool) -> Markup {
        let (from, width) = (histogram.from.as_seconds(), i64::try_from(histogram.width).unwrap_or(1).max(1));
        let all = ((histogram.to.as_seconds() - from) / width).max(1);
        let most =
            histogram.bars.iter().map(|bar| bar.counts.values().sum::<u64>()).max().unwrap_or(1).max(1);
        html! {
            svg role="group" aria-label="One bar for each time range; a bar narrows to it" preserveAspectRatio="none"
                viewBox={ "0 0 " (all * 10) " 100" } data-from=(from) data-width=(width) data-bars=(all) {
                @for bar in &histogram.bars {
                    @let x = (bar.at.as_seconds() - from) / width * 10;
                    @let end = Timestamp::from_seconds(bar.at.as_seconds() + width).unwrap_or(bar.at);
                    @let label = describe_bar(bar.at, end, &by_part(&bar.counts, by_kind));
                    a href=(self.filter.with_times(&short(bar.at), &short(end))) aria-label=(label) tabindex="-1" {
                        title { (label) }
                        rect.whole x=(x) y="0" width="10" height="100" {}
                        @for (y, height, tone) in stacked(&by_part(&bar.counts, by_kind), parts, most, by_kind) {
                            rect class={ "t" (tone) } x=(x + 1) y=(y) width="8" height=(height) {}
                        }
                    }
                }
            }
        }
    }

    /// The facets; each value has its count, and links that add it to the filter or exclude it.
    pub(crate) fn facets(&self) -> Markup {
        let facets = self.facets;
        html! {
            aside.facets #facets aria-label="Narrow down" data-whole=(facets.extent.whole) {
                @for facet in facets.facets.iter().filter(|facet| is_useful(facet)) { (self.facet(facet)) }
                @if !facets.extent.whole { p.q.small { "Counted in the newest " (format::count(facets.extent.looked_at)) " events." } }
            }
        }
    }

    fn facet(&self, facet: &FacetValues) -> Markup {
        let most = facet.values.iter().map(|value| value.count).max().unwrap_or(1).max(1);
        html! {
            section data-key=(facet.facet) {
                h2 { (heading(&facet.facet)) @if facet.others > 0 { span.q title="Rarer values were counted together" { " at least" } } }
                ul {
                    @for value in &facet.values { (self.value(&facet.facet, value, most)) }
                    @if facet.without > 0 && matches!(&*facet.facet, "actor" | "target") {
                        @let term = format!("-{}:*", facet.facet);
                        li aria-current=[self.filter.has_term(&term).then_some("true")] {
                            (bar(facet.without, most))
                            a.is href=(self.toggled(&term)) { span.unsure { @if facet.facet == "actor" { "nobody named" } @else { "not named" } } }
                            span.n { (format::count(facet.without)) }
                        }
                    }
                }
                @if facet.more > 0 || facet.others > 0 {
                    p.q.small { "and " @if facet.others > 0 { "at least " } (format::plural(facet.more.max(1) as u64, "other", "others")) }
                }
            }
        }
    }

    fn value(&self, field: &str, value: &Value, most: u64) -> Markup {
        let term = term(field, &value.value);
        let chosen = self.filter.has_term(&term);
        html! {
            li aria-current=[chosen.then_some("true")] {
                (bar(value.count, most))
                a.is href=(self.toggled(&term)) data-field=(field) data-value=(value.value) { (value_label(field, &value.value)) }
                a.not href=(self.filter.excluding(field, &value.value)) aria-label={ "not " (value.value) } title="without these" { "≠" }
                span.n { (format::count(value.count)) }
            }
        }
    }

    fn toggled(&self, term: &str) -> String {
        if self.filter.has_term(term) { self.filter.without_term(term) } else { self.filter.with_term(term) }
    }
}

/// Whether a facet is worth showing: it has values, and `tag` and `group` more than one.
fn is_useful(facet: &FacetValues) -> bool {
    let optional = matches!(&*facet.facet, "tag" | "group");
    !facet.values.is_empty() && (!optional || facet.values.len() > 1)
}

fn heading(facet: &str) -> &str {
    match facet {
        "kind" => "Kind",
        "actor" => "Who",
        "device" => "Device",
        "target" => "Target",
        "outcome" => "Outcome",
        "source" => "Source",
        "tag" => "Tag",
        "group" => "Group",
        other => other,
    }
}

fn value_label(field: &str, value: &str) -> Markup {
    match (field, value) {
        ("outcome", "denied" | "failure") => html! { span.alarm { (value) } },
        ("outcome", "unknown") => html! { span.unsure { (value) } },
        ("device" | "target", name) if name.contains('.') && name.parse::<std::net::IpAddr>().is_err() => {
            let short = name
                .split('.')
                .next()
                .filter(|short| !short.is_empty() && !name.contains(['/', ':']))
                .unwrap_or(name);
            html! { span title=(meshtrail_event::text::visible(name)) { (format::clipped(short, 26)) } }
        }
        _ => format::clipped(value, 28),
    }
}

/// A bar behind a count, with a length proportional to it.
fn bar(of: u64, most: u64) -> Markup {
    let percent = (of.saturating_mul(100) / most).clamp(1, 100);
    html! { svg.bar-of aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 1" { rect width=(percent) height="1" {} } }
}

/// Counts by part of a bar: by outcome, or by the first segment of the kind.
fn by_part(counts: &std::collections::BTreeMap<String, u64>, by_kind: bool) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = Vec::new();
    for (name, count) in counts {
        let part = if by_kind { name.split('.').next().unwrap_or(name) } else { name };
        match parts.iter_mut().find(|(known, _)| known == part) {
            Some((_, sum)) => *sum += count,
            None => parts.push((part.to_owned(), *count)),
        }
    }
    parts
}

/// The parts over all bars, the largest first.
fn parts(histogram: &Histogram, by_kind: bool) -> Vec<(String, u64)> {
    let mut all = std::collections::BTreeMap::new();
    for (name, count) in histogram.bars.iter().flat_map(|bar| &bar.counts) {
        *all.entry(name.clone()).or_insert(0) += count;
    }
    let mut parts = by_part(&all, by_kind);
    parts.sort_by(|one, two| two.1.cmp(&one.1).then(one.0.cmp(&two.0)));
    parts
}

/// The tone of a part: failures and denials in the alarm colour, unknown outcomes in amber, kinds by rank.
fn tone_of(part: &str, place: usize, by_kind: bool) -> String {
    match (by_kind, part) {
        (false, "denied" | "failure") => "-alarm".to_owned(),
        (false, "unknown") => "-unsure".to_owned(),
        (false, _) => "0".to_owned(),
        (true, _) => place.min(TONES).to_string(),
    }
}

/// The rectangles of one bar from the bottom up: y, height, and tone. Outcomes other than success are at the bottom, and
/// every rectangle is high enough to be seen.
fn stacked(
    bar: &[(String, u64)],
    parts: &[(String, u64)],
    most: u64,
    by_kind: bool,
) -> Vec<(u64, u64, String)> {
    let place = |name: &str| parts.iter().position(|(part, _)| part == name).unwrap_or(TONES);
    let mut order: Vec<&(String, u64)> = bar.iter().filter(|(_, count)| *count > 0).collect();
    order.sort_by_key(|(name, _)| (by_kind || name == "success", place(name)));
    let mut ground = 100;
    let height = |count: u64| (count * 100).div_ceil(most).clamp(3, 100);
    order
        .into_iter()
        .map(|(name, count)| {
            let high = height(*count).min(ground);
            ground -= high;
            (ground, high, tone_of(name, place(name), by_kind))
        })
        .collect()
}

/// The text alternative of a bar.
fn describe_bar(from: Timestamp, to: Timestamp, parts: &[(String, u64)]) -> String {
    let all: u64 = parts.iter().map(|(_, count)| count).sum();
    let each: Vec<String> = parts
        .iter()
        .map(|(part, count)| {
            format!("{} {}", format::count(*count), meshtrail_event::text::shorten(part, 24))
        })
        .collect();
    format!(
        "{} to {}: {}: {}",
        minute(from),
        minute(to),
        format::plural(all, "event", "events"),
        each.join(", ")
    )
}

fn minute(at: Timestamp) -> String {
    let written = at.to_string();
    let end = if at.as_seconds() % 60 == 0 { 16 } else { 19 };
    written[..end].replace('T', " ")
}

/// An instant as a filter writes it, without a fraction.
fn short(at: Timestamp) -> String {
    format!("{}Z", &at.to_string()[..19])
}

/// The time that a bar covers, and the count of the highest bar.
fn scale(histogram: &Histogram) -> Option<String> {
    let most = histogram.bars.iter().map(|bar| bar.counts.values().sum::<u64>()).max()?;
    let width = format::duration(std::time::Duration::from_secs(histogram.width));
    Some(format!("a bar is {width}, the highest {}", format::count(most)))
}

/// Five labels below the bars.
fn axis(histogram: &Histogram) -> Vec<String> {
    let (from, to) = (histogram.from.as_seconds(), histogram.to.as_seconds());
    let long = to - from > 2 * 86_400;
    let label = |step: i64| {
        let at = Timestamp::from_seconds(from + (to - from) * step / 4).unwrap_or(histogram.from).to_string();
        match (long, to - from < 600) {
            (true, _) => at[..10].to_owned(),
            (false, true) => at[11..19].to_owned(),
            (false, false) => format!("{} {}", &at[5..10], &at[11..16]),
        }
    };
    (0..=4).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_stands_on_what_went_wrong_and_never_passes_its_top() {
        let bar = vec![("denied".to_owned(), 1), ("success".to_owned(), 999)];
        let parts = vec![("success".to_owned(), 5000), ("denied".to_owned(), 1)];
        let drawn = stacked(&bar, &parts, 1000, false);
        assert_eq!(drawn, [(97, 3, "-alarm".to_owned()), (0, 97, "0".to_owned())]);
    }

    #[test]
    fn kinds_are_told_apart_by_how_they_begin() {
        let counts =
            [("ssh.login".to_owned(), 2), ("ssh.session.ended".to_owned(), 3), ("flow.closed".to_owned(), 1)];
        let parts = by_part(&counts.into_iter().collect(), true);
        assert_eq!(parts, [("flow".to_owned(), 1), ("ssh".to_owned(), 5)]);
    }

    #[test]
    fn a_bar_is_said_in_words() {
        let at = |text: &str| text.parse().unwrap();
        let words =
            describe_bar(at("2026-11-20T14:00:00Z"), at("2026-11-20T14:15:00Z"), &[("denied".to_owned(), 1)]);
        assert_eq!(words, "2026-11-20 14:00 to 2026-11-20 14:15: 1 event: 1 denied");
    }
}
