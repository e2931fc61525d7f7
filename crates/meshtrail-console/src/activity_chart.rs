//! Chart of activity over time: a column for each day, a row for each hour, a mark where events happened.
//!
//! The size of a mark shows the number of events; its shape and colour show whether any were denied or failed. The chart
//! has a text alternative, and each day links to its events.

use maud::{Markup, html};
use meshtrail_api::directory::{Activity, Day};
use meshtrail_event::Timestamp;

use super::format;
use super::page_filter::address;

/// Width and height of an hour's cell.
const CELL: u32 = 12;

/// Space for the labels of hours at the left, and above the first row.
const LEFT: u32 = 34;
const TOP: u32 = 4;

const DAY_SECONDS: i64 = 86_400;

/// The chart of the days from `activity.since` to now; `base` is the filter of the events.
pub(crate) fn activity_chart(activity: &Activity, base: &str, now: Timestamp) -> Markup {
    let days = dates(activity.since, now);
    let width = LEFT + CELL * u32::try_from(days.len()).unwrap_or(0).max(1) + 2;
    let height = TOP + CELL * 24 + 18;
    let most = activity.days.iter().flat_map(|day| day.hours).max().unwrap_or(1).max(1);
    html! {
        figure.activity {
            svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="group" aria-label=(describe(activity)) {
                @for hour in [0u32, 6, 12, 18] {
                    text x="0" y=(TOP + hour * CELL + 10) aria-hidden="true" { (format!("{hour:02}:00")) }
                    line x1=(LEFT) x2=(width) y1=(TOP + hour * CELL) y2=(TOP + hour * CELL) {}
                }
                @for (at, date) in days.iter().enumerate() {
                    @let x = LEFT + CELL * u32::try_from(at).unwrap_or(0);
                    @if has_label(at, days.len()) { text x=(x) y=(height - 4) aria-hidden="true" { (date[5..]) } }
                    @if let Some(day) = activity.days.iter().find(|day| day.date == *date) { (column(day, x, most, base)) }
                }
            }
            figcaption.q.small {
                "A column is a day, a row an hour (UTC); larger is more"
                @if activity.refused > 0 { ", " span.alarm { "◆ denied or failed" } }
                ". A day leads to its events."
            }
        }
    }
}

fn column(day: &Day, x: u32, most: u32, base: &str) -> Markup {
    let total: u32 = day.hours.iter().sum();
    let query = format!("{base} since:{0} until:{0}", day.date);
    html! {
        a href=(address("/events", &[("q", &query)])) aria-label={ (day.date) ": " (format::plural(u64::from(total), "event", "events")) } {
            rect.reach x=(x) y=(TOP) width=(CELL) height=(CELL * 24) {}
            @for hour in 0..24u32 {
                @let (many, refused) = (day.hours[hour as usize], day.refused[hour as usize]);
                @if many > 0 { (mark(x, TOP + hour * CELL, many, refused, most)) }
            }
        }
    }
}

fn mark(x: u32, y: u32, many: u32, refused: u32, most: u32) -> Markup {
    let side = side(many, most);
    let inset = (CELL - side) / 2;
    html! {
        @if refused > 0 {
            @let (cx, cy, half) = (x + CELL / 2, y + CELL / 2, side / 2 + 1);
            path.refused d={ "M" (cx) " " (cy - half) "l" (half) " " (half) "-" (half) " " (half) "-" (half) "-" (half) "z" } {}
        } @else {
            rect.done x=(x + inset) y=(y + inset) width=(side) height=(side) {}
        }
    }
}

/// The side of a mark: 4 for one event, 10 for the busiest hour, logarithmic in between.
fn side(many: u32, most: u32) -> u32 {
    let full = most.max(2).ilog2().max(1);
    4 + (many.max(1).ilog2() * 6 / full).min(6)
}

/// Whether the day has a label.
fn has_label(at: usize, days: usize) -> bool {
    at.is_multiple_of(if days > 45 { 14 } else { 7 }) && at + 3 <= days.max(3)
}

/// The dates from `since` to `now`, at most 100.
fn dates(since: Timestamp, now: Timestamp) -> Vec<String> {
    let (first, last) = (since.as_seconds() / DAY_SECONDS, now.as_seconds() / DAY_SECONDS);
    let first = first.max(last - 99);
    (first..=last)
        .filter_map(|day| Timestamp::from_seconds(day * DAY_SECONDS))
        .map(|day| day.to_string()[..10].to_owned())
        .collect()
}

/// The chart's text alternative.
fn describe(activity: &Activity) -> String {
    let mut by_hour = [0u64; 24];
    for day in &activity.days {
        for (sum, many) in by_hour.iter_mut().zip(day.hours) {
            *sum += u64::from(many);
        }
    }
    let busiest = (0..24).max_by_key(|&hour| by_hour[hour]).filter(|&hour| by_hour[hour] > 0);
    let days = format::plural(activity.days.len() as u64, "day", "days");
    match busiest {
        Some(hour) => {
            format!("Active on {days}, most between {hour:02}:00 and {:02}:00 UTC", (hour + 1) % 24)
        }
        None => "Nothing happened in this time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_event_can_be_seen_and_the_busiest_hour_fills_its_place() {
        assert_eq!((side(1, 1), side(1, 5000), side(5000, 5000)), (4, 4, 10));
        assert!(side(5000, 5000) < CELL);
    }

    #[test]
    fn the_strip_says_in_words_what_it_shows() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut hours = [0; 24];
        hours[14] = 3;
        let day = Day { date: "2026-11-20".to_owned(), hours, refused: [0; 24] };
        let since = "2026-11-15T00:00:00Z".parse().unwrap();
        let activity = Activity { days: vec![day], since, ..Activity::default() };
        let shown = activity_chart(&activity, "actor:a", now).into_string();
        assert!(shown.contains("Active on 1 day, most between 14:00 and 15:00 UTC"), "{shown}");
        assert!(shown.contains("q=actor:a%20since:2026-11-20%20until:2026-11-20"), "{shown}");
        assert_eq!(dates(since, now).len(), 7);
    }
}
