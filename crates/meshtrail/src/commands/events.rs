//! `events query` and `events show`.

use anyhow::Result;
use meshtrail_api::client::{encode, path};
use meshtrail_api::events::{self, EventsAnswer};
use meshtrail_event::text::visible;
use meshtrail_event::{Actor, Event, Target};

use crate::api::Api;
use crate::args::{EventShow, EventsQuery, Order};
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::format_time;

/// The page size of requests.
const PAGE: usize = 500;

/// Lists the events that match a filter.
pub(crate) async fn query(query: EventsQuery) -> Result<()> {
    if query.follow {
        return super::follow::follow(query).await;
    }
    let api = Api::open(&query.api.source).await?;
    let mut table = Table::new([
        ("TIME", Fit::Whole),
        ("KIND", Fit::Cut(14)),
        ("OUTCOME", Fit::Whole),
        ("WHO", Fit::Cut(12)),
        ("WHERE", Fit::Cut(8)),
        ("ID", Fit::Cut(12)),
    ]);
    let order = match query.order {
        Order::Newest => events::Order::Newest,
        Order::Oldest => events::Order::Oldest,
    };
    let (mut left, mut cursor, mut shown) = (query.limit, None, 0);
    while left > 0 {
        let request = events::EventsQuery {
            q: query.filter.clone(),
            limit: Some(left.min(PAGE)),
            cursor: cursor.take(),
            order: Some(order),
        };
        let page: EventsAnswer = api.get_json(&path("/api/v1/events", &request)).await?;
        for leaf in page.events.iter().take(left) {
            if query.api.json {
                print_line(leaf.get())?;
            } else {
                table.row(row(&Event::from_json(leaf.get().as_bytes())?));
            }
        }
        shown += page.events.len().min(left);
        left -= page.events.len().min(left);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if query.api.json {
        return Ok(());
    }
    if shown == 0 {
        print_note("No event passes this filter.");
        return Ok(());
    }
    table.print()?;
    if cursor.is_some() {
        print_note(&format!("There are more; --limit {} shows them.", query.limit.saturating_mul(10)));
    }
    Ok(())
}

pub(super) fn row(event: &Event) -> [String; 6] {
    [
        format_time(event.time),
        event.kind.to_string(),
        event.outcome.to_string(),
        Actor::label(&event.actor).unwrap_or_default(),
        Target::label(&event.target).unwrap_or_default(),
        event.id.to_string(),
    ]
}

/// Shows one event.
pub(crate) async fn show(show: EventShow) -> Result<()> {
    let api = Api::open(&show.api.source).await?;
    let leaf = api.get_bytes(&format!("/api/v1/events/{}", encode(&show.id))).await?;
    let text = String::from_utf8(leaf)?;
    if show.api.json {
        return Ok(print_line(&text)?);
    }
    let value: serde_json::Value = serde_json::from_str(&text)?;
    for shown in serde_json::to_string_pretty(&value)?.lines() {
        print_line(&visible(shown))?;
    }
    Ok(())
}
