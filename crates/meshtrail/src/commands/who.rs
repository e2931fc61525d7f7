//! `who`: the device and person behind an address, a name or a login, and the statements of other providers.

use anyhow::Result;
use meshtrail_api::client::path;
use meshtrail_api::who::{WhoAnswer, WhoDevice, WhoPerson, WhoQuery, WhoTenure};
use meshtrail_event::{Device, Identity, IdentityStatus, Person};
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::Who;
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::format_time;

/// Prints who it was.
pub(crate) async fn run(who: Who) -> Result<()> {
    let query = WhoQuery { subject: Some(who.subject.clone()), at: who.at, ..WhoQuery::default() };
    let api = Api::open(&who.api.source).await?;
    let answer: Box<RawValue> = api.get_json(&path("/api/v1/who", &query)).await?;
    if who.api.json {
        return Ok(print_line(answer.get())?);
    }
    let answer: WhoAnswer = serde_json::from_str(answer.get())?;
    let lines = describe(&who.subject, &answer);
    lines.iter().try_for_each(|text| print_line(&meshtrail_event::text::visible(text)))?;
    if answer.tenures.len() > 1 {
        print_line("")?;
        print_tenures(&answer.tenures)?;
    }
    if answer.devices.is_empty() && answer.now.is_none() {
        print_note("What a control plane or the directory file told is in the trail: see docs/identity.md.");
    }
    Ok(())
}

/// The answer as lines of text.
fn describe(subject: &str, answer: &WhoAnswer) -> Vec<String> {
    let at = format_time(answer.at);
    let mut lines = Vec::new();
    if let Some(WhoPerson { person, role, provider, as_of }) = &answer.person {
        lines.push(format!("{} at {at}", person_text(person)));
        lines.extend(role.as_ref().map(|role| format!("  role    {role}")));
        if !person.groups.is_empty() {
            lines.push(format!("  groups  {}", person.groups.join(", ")));
        }
        lines.push(format!("  known   {provider}, as of {}", format_time(*as_of)));
    }
    for known in &answer.devices {
        let is = if answer.taken_for == "address" { format!("{subject} at {at}: ") } else { String::new() };
        lines.push(format!("{is}{}", device_text(&known.device)));
        lines.extend(details(known));
    }
    if let Some(now) = &answer.now {
        let device = now.device.as_ref().map_or_else(|| "an unknown device".to_owned(), device_text);
        lines.push(format!("right now: {device}"));
        lines.push(format!("  person  {}", owner_text(now.person.as_deref(), now.device.as_ref())));
        lines.push(format!("  known   {}", identity_text(&now.identity)));
    }
    if let Some(why) = &answer.why {
        lines.push(format!("{subject} at {at}: {why}"));
    }
    for router in answer.routed.iter().flat_map(|routed| &routed.devices) {
        let prefix = answer.routed.as_ref().map_or("", |routed| &routed.prefix);
        lines.push(format!("  routed by {} ({prefix})", device_text(&router.device)));
        lines.push(format!("  known   {}", identity_text(&router.identity)));
    }
    lines
}

fn details(known: &WhoDevice) -> Vec<String> {
    let mut lines = vec![format!("  person  {}", owner_text(known.person.as_deref(), Some(&known.device)))];
    let groups = known.person.as_ref().map_or(&[][..], |person| &person.groups);
    if !groups.is_empty() {
        lines.push(format!("  groups  {}", groups.join(", ")));
    }
    if known.external {
        lines.push("  shared  in from another tailnet".to_owned());
    }
    lines.push(format!("  known   {}", identity_text(&known.identity)));
    if let Some(since) = known.since {
        let until = known.until.map_or_else(|| "now, as far as known".to_owned(), format_time);
        lines.push(format!("  so      from {} until {until}", format_time(since)));
    }
    let others =
        known.said.iter().filter(|statement| known.identity.provider.as_deref() != Some(&statement.provider));
    for statement in others {
        let what = match (statement.gone, &statement.name, &statement.whose) {
            (true, ..) => "the device is gone".to_owned(),
            (false, name, whose) => {
                format!(
                    "{}, {}",
                    name.as_deref().unwrap_or("no name"),
                    whose.as_deref().unwrap_or("no owner")
                )
            }
        };
        lines.push(format!(
            "  said    {what} ({}, as of {})",
            statement.provider,
            format_time(statement.as_of)
        ));
    }
    lines
}

fn device_text(device: &Device) -> String {
    let name = device.name.as_deref().or(device.id.as_deref()).unwrap_or("a device without a name");
    let mut notes: Vec<String> = device.id.iter().map(|id| format!("id {id}")).collect();
    notes.extend(device.os.clone());
    notes.extend(device.addresses.iter().cloned());
    format!("{name} ({})", notes.join(", "))
}

fn owner_text(person: Option<&Person>, device: Option<&Device>) -> String {
    match (person, device) {
        (Some(person), _) => person_text(person),
        (None, Some(device)) if !device.tags.is_empty() => {
            format!("none; owned by {}", device.tags.join(", "))
        }
        _ => "not known".to_owned(),
    }
}

fn person_text(person: &Person) -> String {
    match &person.name {
        Some(name) => format!("{} ({name})", person.login),
        None => person.login.clone(),
    }
}

fn identity_text(identity: &Identity) -> String {
    let provider = identity.provider.as_deref().unwrap_or("nobody");
    let as_of = identity.as_of.map_or_else(String::new, |as_of| format!(", as of {}", format_time(as_of)));
    let status = match identity.status {
        IdentityStatus::Resolved => String::new(),
        ref other => format!("; {other}"),
    };
    let reason = identity.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{provider}{as_of}{status}{reason}")
}

fn print_tenures(tenures: &[WhoTenure]) -> Result<()> {
    let mut table = Table::new([
        ("FROM", Fit::Whole),
        ("UNTIL", Fit::Whole),
        ("OWNER", Fit::Cut(12)),
        ("DEVICE", Fit::Cut(12)),
        ("ID", Fit::Cut(6)),
    ]);
    for WhoTenure { id, name, whose, since, until } in tenures {
        let until = until.map_or_else(|| "-".to_owned(), format_time);
        table.row([format_time(*since), until, whose.clone(), name.clone().unwrap_or_default(), id.clone()]);
    }
    Ok(table.print()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_which_device_which_person_how_known_and_what_others_said() {
        let answer: WhoAnswer = serde_json::from_str(
            r#"{"subject":"100.64.0.7","taken_for":"address","at":"2026-11-20T14:02:00.000000000Z","devices":[{
                "device":{"addresses":["100.64.0.7"],"id":"n7","name":"laptop.tail.example","os":"linux"},
                "person":{"login":"alice@example.com","name":"Alice","groups":["group:eng"]},
                "identity":{"as_of":"2026-11-20T09:00:00.000000000Z","provider":"headscale","status":"resolved"},
                "since":"2026-11-19T08:00:00.000000000Z","until":"2026-11-20T18:00:00.000000000Z",
                "said":[{"provider":"headscale","as_of":"2026-11-20T09:00:00.000000000Z","name":"laptop.tail.example"},
                        {"provider":"localapi","as_of":"2026-11-20T08:00:00.000000000Z","gone":true}]}]}"#,
        )
        .unwrap();
        assert_eq!(
            describe("100.64.0.7", &answer),
            [
                "100.64.0.7 at 2026-11-20 14:02:00Z: laptop.tail.example (id n7, linux, 100.64.0.7)",
                "  person  alice@example.com (Alice)",
                "  groups  group:eng",
                "  known   headscale, as of 2026-11-20 09:00:00Z",
                "  so      from 2026-11-19 08:00:00Z until 2026-11-20 18:00:00Z",
                "  said    the device is gone (localapi, as of 2026-11-20 08:00:00Z)",
            ]
        );
    }
}
