//! The page of one device: activity on and from it; names, owners, tags and addresses over time; the holders of its
//! addresses before and after.

use maud::{Markup, html};
use meshtrail_api::directory::DeviceView;
use meshtrail_api::policy::{ReachAnswer, ReachRows};
use meshtrail_event::text::sentence_case;
use meshtrail_event::{Event, Timestamp};
use meshtrail_query::term;
use meshtrail_views::mesh::{CountedActivity, DeviceProfile};

use super::activity_chart::activity_chart;
use super::components::{self, RowLink, history, moment, ranges, short_name, value_counts};
use super::devices_page::{is_expired, remarks};
use super::format;
use super::layout::empty;
use super::page_filter::{address, under};
use super::person_page::{changes, describe_conflict, describe_provenance, recent, sessions, summary};
use super::view::SessionView;

/// The content of the page.
pub struct DevicePage<'a> {
    /// The id.
    pub id: &'a str,
    /// What the directory knows.
    pub profile: &'a DeviceProfile,
    /// What happened on and from it in the time range.
    pub activity: &'a CountedActivity,
    /// Who can reach it by the policy in force, or why that can't be told.
    pub reach: Result<&'a ReachAnswer, &'a str>,
    /// The newest sessions on it and from it.
    pub sessions: &'a [SessionView],
    /// Changes to the device: index and event.
    pub changes: &'a [(u64, Event)],
    /// The time range, as selected: `30d`.
    pub since: &'a str,
    /// When the page is made.
    pub now: Timestamp,
}

impl DevicePage<'_> {
    /// The filter that all links to its events start with.
    fn base(&self) -> String {
        format!("{} since:{}", term("device", self.id), self.since)
    }

    /// The display name.
    pub fn name(&self) -> &str {
        let state = self.profile.device.as_ref().map(|device| &device.state);
        state.and_then(|state| state.name.as_deref().or(state.hostname.as_deref())).unwrap_or(self.id)
    }

    /// The page's content.
    pub fn render(&self) -> Markup {
        let periods = &self.profile.history;
        html! {
            div.with-side {
                section.main {
                    p.crumb { a href="/devices" data-back { "Devices" } " / " (format::identifier(self.id, 60)) }
                    h1 { (format::untrusted(short_name(self.name()))) @if short_name(self.name()) != self.name() { " " span.as { (format::untrusted(self.name())) } } }
                    @match &self.profile.device {
                        Some(device) => p.when { (remarks(device, self.now)) " " @if let Some(seen) = device.state.last_seen { span.q { "last seen " } (format::clock(seen, self.now)) span.q { " UTC" } } },
                        None => p.unsure { "No control plane has reported this device. What is shown here is from events alone." },
                    }
                    (ranges(&under("/devices", self.id), self.since, &[]))
                    (self.activity_section())
                    @if !periods.is_empty() { h2 { "What it was" } (history(periods, self.now)) }
                    (self.reach_section())
                    (self.addresses())
                }
                aside { (self.side()) }
            }
        }
    }

    fn activity_section(&self) -> Markup {
        let activity = &self.activity.counts;
        html! {
            (summary(activity, &format!("{} -kind:flow -kind:log", self.base()), &self.base()))
            @if activity.events > 0 {
                div.did {
                    (activity_chart(activity, &format!("{} -kind:flow -kind:log", term("device", self.id)), self.now))
                    div.columns {
                        (value_counts("What", &activity.kinds, &self.base(), RowLink::Field("kind")))
                        (value_counts("By whom", &activity.people, &self.base(), RowLink::Person))
                        (value_counts("On what", &activity.targets, &self.base(), RowLink::Field("target")))
                        (value_counts("From which devices", &activity.devices, &self.base(), RowLink::Device))
                    }
                }
                (sessions(self.sessions, &term("device", self.id), "All its sessions", self.now))
                (changes(self.changes, &term("device", self.id), self.now))
                (recent(&self.activity.recent, &self.base(), self.now))
            } @else {
                @let command = format!("meshtrail events query {}", format::shell_word(&self.base()));
                (empty("Nothing in this time", "No event on or from this device is in the trail for it. The command line asks the same:", Some(&command)))
            }
        }
    }

    /// Who can reach it.
    fn reach_section(&self) -> Markup {
        let command = format!("meshtrail policy who-could-reach {}", format::shell_word(self.id));
        html! {
            h2 id="reach" { "Who can reach it" }
            @match self.reach {
                Err(reason) => p.small.q { (format::untrusted(&sentence_case(reason))) },
                Ok(reach) => {
                    p.small.q {
                        "By the policy"
                        @if let Some(event) = &reach.policy.event { " of " a href=(under("/events", &event.to_string())) { (reach_since(reach, self.now)) } }
                        ", read as " (reach.policy.control_plane) " does. A path through the network is no proof that somebody took it."
                    }
                    @if reach.certain.rows.is_empty() { p { "Nobody, as far as the policy is known." } }
                    @else { (reach_rows(&reach.certain, &command)) }
                    @if !reach.possible.rows.is_empty() {
                        details {
                            summary.unsure { (format::plural((reach.possible.rows.len() + reach.possible.left_off) as u64, "more could", "more could")) ", if …" }
                            (reach_rows(&reach.possible, &command))
                        }
                    }
                }
            }
        }
    }

    /// The holders of its addresses over time.
    fn addresses(&self) -> Markup {
        html! {
            @if !self.profile.holdings.is_empty() {
                h2 { "Who had its addresses" }
                table.list.holdings {
                    thead { tr { th scope="col" { "Address" } th scope="col" { "Device" } th scope="col" { "Owner" } th scope="col" { "From (UTC)" } th scope="col" { "Until (UTC)" } } }
                    tbody {
                        @for holding in &self.profile.holdings {
                            tr.this[holding.device == self.id] {
                                td.at-value { code { (format::untrusted(&holding.address)) } }
                                td.at-name {
                                    @if holding.device == self.id { b { "this device" } @if let Some(name) = &holding.name { span.q { " as " (format::clipped(short_name(name), 24)) } } }
                                    @else { (components::device(&holding.device, holding.name.as_deref(), 30)) }
                                }
                                td.at-owner { (format::clipped(holding.owner.as_deref().unwrap_or("not known"), 34)) }
                                td.at-from { span.label { "from " } (moment(holding.from, "before that is not known", self.now)) }
                                td.at-until { span.label { "until " } (moment(holding.until, "now", self.now)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn side(&self) -> Markup {
        let DeviceProfile { device, accounts, .. } = self.profile;
        html! {
            h2 { "Device" }
            dl {
                dt { "id" } dd { (format::identifier(self.id, 30)) }
                @if let Some(device) = device { (self.state_lines(device)) }
            }
            @if let Some(device) = device { (describe_conflict(device.conflict.as_deref(), accounts, self.now)) (self.key(device)) (self.routes(device)) }
            h2 { "Talks to" }
            p.small { a href=(address("/network", &[("by", "device"), ("of", &format!("device:{}", self.id)), ("since", self.since)])) { "Who it exchanged traffic with" } }
            h2 { "How we know" }
            (describe_provenance(device.as_ref().map(|device| (device.by.as_str(), device.as_of)), &self.activity.counts, self.now))
        }
    }

    fn state_lines(&self, device: &DeviceView) -> Markup {
        let state = &device.state;
        let tags: Vec<&str> = state.tags.iter().map(String::as_str).collect();
        html! {
            dt { "whose" }
            dd { @match &state.owner {
                Some(login) if tags.is_empty() => { (components::person(login, 60)) }
                _ if !tags.is_empty() => { "its tags'" }
                _ => span.unsure { "not known" },
            } }
            @if !tags.is_empty() { dt { "tags" } dd.tags { (components::all_tags(&tags)) } }
            dt { "addresses" }
            dd { @for ip in &state.addresses { code { (ip) } br; } @if state.addresses.is_empty() { span.unsure { "none told" } } }
            @if let Some(os) = &state.os { dt { "system" } dd { (format::untrusted(os)) } }
            @if let Some(version) = &state.client_version { dt { "client" } dd { (format::identifier(version, 26)) } }
            @if let Some(hostname) = &state.hostname { dt { "calls itself" } dd { (format::untrusted(hostname)) } }
            @if let Some(created) = state.created { dt { "joined" } dd { (format::clock(created, self.now)) span.q { " UTC" } } }
            @if let Some(online) = state.online { dt { "online" } dd { @if online { "yes, as of " (format::clock(device.as_of, self.now)) " UTC" } @else { "no" } } }
        }
    }

    fn key(&self, device: &DeviceView) -> Markup {
        let state = &device.state;
        html! {
            h2 { "Node key" }
            dl {
                dt { "expires" }
                dd {
                    @if state.key_expiry_disabled == Some(true) { "never: expiry is switched off" }
                    @else if let Some(expires) = state.expires { span.unsure[is_expired(device, self.now)] { (format::clock(expires, self.now)) " UTC, " (format::ago(expires, self.now)) } }
                    @else if state.expired == Some(true) { span.unsure { "expired" } }
                    @else { span.q { "not told" } }
                }
                @if let Some(key) = &state.node_key { dt { "key" } dd { (format::identifier(key, 26)) } }
                @if let Some(key) = &state.machine_key { dt { "machine" } dd { (format::identifier(key, 26)) } }
            }
        }
    }

    fn routes(&self, device: &DeviceView) -> Markup {
        let state = &device.state;
        let offered: Vec<&String> = state.advertised_routes.difference(&state.enabled_routes).collect();
        html! {
            @if !state.enabled_routes.is_empty() || !offered.is_empty() {
                h2 { "Routes" }
                ul.plain {
                    @for route in &state.enabled_routes { li { code { (format::untrusted(route)) } " in force" } }
                    @for route in offered { li { code { (format::untrusted(route)) } " " span.unsure { "offered, not enabled" } } }
                }
            }
        }
    }
}
/// The most rows of reach that the page shows.
const MAX_REACH: usize = 25;

/// Since when the policy is in force, as far as known.
fn reach_since(reach: &ReachAnswer, now: Timestamp) -> Markup {
    html! { @match reach.policy.since { Some(since) => { (format::clock(since, now)) " UTC" }, None => "this event" } }
}

/// Who reaches it, on which ports, by which rules.
fn reach_rows(rows: &ReachRows, command: &str) -> Markup {
    let hidden = rows.left_off + rows.rows.len().saturating_sub(MAX_REACH);
    html! {
        table.list.reach {
            thead { tr { th scope="col" { "Device" } th scope="col" { "Owner" } th scope="col" { "Ports" } th scope="col" { "By" } } }
            tbody {
                @for row in rows.rows.iter().take(MAX_REACH) {
                    tr {
                        td {
                            @match &row.device {
                                Some(device) => (components::device(device, row.device_name.as_deref(), 30)),
                                None => (format::clipped(&row.source, 40)),
                            }
                        }
                        td {
                            @match &row.person {
                                Some(person) => (components::person(person, 30)),
                                None => (format::clipped(&row.tags.join(", "), 30)),
                            }
                        }
                        td { code { (format::clipped(&row.ports, 40)) } }
                        td {
                            (format::clipped(&row.rules.join(", "), 48))
                            @for condition in &row.conditions { br; span.unsure.small { "if " (format::untrusted(condition)) } }
                        }
                    }
                }
            }
        }
        @if hidden > 0 {
            p.small.q { (format::plural(hidden as u64, "more", "more")) ": " code { (command) } }
        }
    }
}
