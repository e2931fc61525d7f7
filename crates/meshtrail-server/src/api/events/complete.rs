//! Completions at a position in a filter: fields, their keywords, and values from the data.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::State;
use meshtrail_api::completions::{CompleteQuery, Completed, CompletedOption, Wrong};
use meshtrail_event::text::sentence_case;
use meshtrail_query::tally::{Facet, SLOT, Tally, summarise};
use meshtrail_query::{Field, Filter, completions, quoted_value};
use meshtrail_trail::Trail;

use super::unreadable;
use crate::counts::Summaries;
use crate::extract::{ValidQuery, parse_field};
use crate::problem::Problem;

/// The most recent events without a summary that are read.
const MAX_READ: u64 = 20_000;

/// The most options in a response.
const MAX_OPTIONS: usize = 200;

/// What could stand at a place in a filter: fields, their words, and the values that the data has.
#[utoipa::path(get, path = "/api/v1/events/complete", tag = "events", params(CompleteQuery),
    responses((status = 200, body = Completed)))]
pub(crate) async fn complete(
    State(trail): State<Trail>,
    State(summaries): State<Summaries>,
    ValidQuery(query): ValidQuery<CompleteQuery>,
) -> Result<Json<Completed>, Problem> {
    let completion = completions(&query.q, query.at.unwrap_or(query.q.len()));
    let keywords = completion.options.iter().map(|option| CompletedOption {
        insert: option.insert.clone(),
        about: option.about.clone(),
        events: None,
    });
    let mut options: Vec<CompletedOption> = keywords.collect();
    if let Some(facet) = completion.field.and_then(facet_of) {
        options.extend(values_like(&trail, &summaries, facet, &completion.written).await?);
    }
    let mut seen = HashSet::new();
    options.retain(|option| seen.insert(option.insert.clone()));
    options.truncate(MAX_OPTIONS);
    Ok(Json(Completed {
        replace: [completion.replace.start, completion.replace.end],
        field: completion.field.map(|field| field.name().to_owned()),
        options,
        wrong: Filter::parse(&query.q).err().map(|error| Wrong {
            at: [error.span.start, error.span.end],
            message: sentence_case(&error.message),
            hint: error.hint.as_deref().map(sentence_case),
        }),
    }))
}

fn facet_of(field: Field) -> Option<Facet> {
    match field {
        Field::Person => Some(Facet::Actor),
        field => parse_field("field", field.name()).ok(),
    }
}

/// The most values from the data.
const MAX_VALUES: usize = 20;

/// The most common values that contain the written text; those that start with it come first.
async fn values_like(
    trail: &Trail,
    summaries: &Summaries,
    facet: Facet,
    written: &str,
) -> Result<Vec<CompletedOption>, Problem> {
    let written = written.trim_matches('"').to_lowercase();
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut add = |value: &str, events: u64| {
        if value.to_lowercase().contains(&written) {
            *counts.entry(value.to_owned()).or_default() += events;
        }
    };
    let summaries = summaries.all();
    for summary in &summaries {
        summary.values(facet).for_each(|(value, events)| add(value, events));
    }
    let size = trail.size();
    let summed = summaries.iter().map(|summary| summary.range().end).max().unwrap_or_default();
    let mut newest = Tally::new(SLOT, true);
    let unsummed = summed.max(size.saturating_sub(MAX_READ)).min(size)..size;
    summarise(trail, unsummed, &mut newest).await.map_err(|error| unreadable(&error))?;
    if let Some(values) = newest.values(facet) {
        values.top(values.distinct()).into_iter().for_each(|(value, events)| add(value, events));
    }
    let mut values: Vec<(String, u64)> = counts.into_iter().collect();
    let starts_with = |value: &str| value.to_lowercase().starts_with(&written);
    values.sort_unstable_by(|one, two| {
        (starts_with(&two.0), two.1).cmp(&(starts_with(&one.0), one.1)).then(one.0.cmp(&two.0))
    });
    values.truncate(MAX_VALUES);
    let option = |(value, events): (String, u64)| CompletedOption {
        insert: quoted_value(&value),
        about: String::new(),
        events: Some(events),
    };
    Ok(values.into_iter().map(option).collect())
}
