//! One device: what happened on and from it; its names, owners, tags and addresses over time; who had its addresses
//! before and after.

use maud::{Markup, html};
use meshtrail_event::{Event, Timestamp};

use super::activity::strip;
use super::ask::{address, term, under};
use super::devices_page::{expired, to_know};
use super::layout::empty;
use super::parts::{self, Leads, counted, history, moment, ranges, short_name};
use super::person_page::{changes, disagree, known, recent, sessions, summary};
use super::view::SessionView;
use super::words;
use crate::mesh::{Account, Doings, Holding, Stretch, ToldDevice};

/// What the page shows.
pub(crate) struct DevicePage<'a> {
    pub(crate) id: &'a str,
    /// As the directory tells; none where only events do.
    pub(crate) told: Option<&'a ToldDevice>,
    /// What each teller says of whose it is.
    pub(crate) accounts: &'a [Account],
    pub(crate) history: &'a [Stretch],
    /// Who had its addresses, and when, itself included.
    pub(crate) holdings: &'a [Holding],
    pub(crate) doings: &'a Doings,
    pub(crate) sessions: &'a [SessionView],
    /// Changes of it: index and event.
    pub(crate) changes: &'a [(u64, Event)],
    /// The stretch of time looked back over, as chosen: `30d`.
    pub(crate) since: &'a str,
    pub(crate) now: Timestamp,
}

impl DevicePage<'_> {
    fn base(&self) -> String {
        format!("{} since:{}", term("device", self.id), self.since)
    }

    /// The name people read.
    pub(crate) fn name(&self) -> &str {
        let state = self.told.map(|told| &told.state);
        state.and_then(|state| state.name.as_deref().or(state.hostname.as_deref())).unwrap_or(self.id)
    }

    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        html! {
            div.with-side {
                section.main {
                    p.crumb { a href="/devices" data-back { "Devices" } " / " (words::identifier(self.id, 60)) }
                    h1 { (words::foreign(short_name(self.name()))) @if short_name(self.name()) != self.name() { " " span.as { (words::foreign(self.name())) } } }
                    @match self.told {
                        Some(told) => p.when { (to_know(told, self.now)) " " @if let Some(seen) = told.state.last_seen { span.q { "last seen " } (words::clock(seen, self.now)) span.q { " UTC" } } },
                        None => p.unsure { "No control plane has told of this device. What stands here is from events alone." },
                    }
                    (ranges(&under("/devices", self.id), self.since, &[]))
                    (self.what_happened())
                    @if !self.history.is_empty() { h2 { "What it was" } (history(self.history, self.now)) }
                    (self.addresses())
                }
                aside { (self.side()) }
            }
        }
    }

    fn what_happened(&self) -> Markup {
        let doings = self.doings;
        html! {
            (summary(doings, &format!("{} -kind:flow -kind:log", self.base()), &self.base()))
            @if doings.events > 0 {
                div.did {
                    (strip(doings, &format!("{} -kind:flow -kind:log", term("device", self.id)), self.now))
                    div.columns {
                        (counted("What", &doings.kinds, &self.base(), Leads::Field("kind")))
                        (counted("By whom", &doings.people, &self.base(), Leads::Person))
                        (counted("On what", &doings.targets, &self.base(), Leads::Field("target")))
                        (counted("From which devices", &doings.devices, &self.base(), Leads::Device))
                    }
                }
                (sessions(self.sessions, &term("device", self.id), "All its sessions", self.now))
                (changes(self.changes, &term("device", self.id), self.now))
                (recent(&doings.recent, &self.base(), self.now))
            } @else {
                @let command = format!("meshtrail events query {}", words::shell_word(&self.base()));
                (empty("Nothing in this time", "No event on or from this device is in the trail for it. The command line asks the same:", Some(&command)))
            }
        }
    }

    /// Who had its addresses before and after.
    fn addresses(&self) -> Markup {
        html! {
            @if !self.holdings.is_empty() {
                h2 { "Who had its addresses" }
                table.list.holdings {
                    thead { tr { th scope="col" { "Address" } th scope="col" { "Device" } th scope="col" { "Whose" } th scope="col" { "From (UTC)" } th scope="col" { "Until (UTC)" } } }
                    tbody {
                        @for holding in self.holdings {
                            tr.this[holding.device == self.id] {
                                td.at-value { code { (words::foreign(&holding.address)) } }
                                td.at-name {
                                    @if holding.device == self.id { b { "this device" } @if let Some(name) = &holding.name { span.q { " as " (words::clipped(short_name(name), 24)) } } }
                                    @else { (parts::device(&holding.device, holding.name.as_deref(), 30)) }
                                }
                                td.at-owner { (words::clipped(holding.owner.as_deref().unwrap_or("not known"), 34)) }
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
        html! {
            h2 { "Device" }
            dl {
                dt { "id" } dd { (words::identifier(self.id, 30)) }
                @if let Some(told) = self.told { (self.told_lines(told)) }
            }
            @if let Some(told) = self.told { (disagree(told.conflict.as_deref(), self.accounts, self.now)) (self.key(told)) (self.routes(told)) }
            h2 { "Talks to" }
            p.small { a href=(address("/network", &[("by", "device"), ("of", &format!("device:{}", self.id)), ("since", self.since)])) { "Who it exchanged traffic with" } }
            h2 { "How we know" }
            (known(self.told.map(|told| (told.by.as_str(), told.as_of)), self.doings, self.now))
        }
    }

    fn told_lines(&self, told: &ToldDevice) -> Markup {
        let state = &told.state;
        let tags: Vec<&str> = state.tags.iter().map(String::as_str).collect();
        html! {
            dt { "whose" }
            dd { @match &state.owner {
                Some(login) if tags.is_empty() => { (parts::person(login, 60)) }
                _ if !tags.is_empty() => { "its tags'" }
                _ => span.unsure { "not known" },
            } }
            @if !tags.is_empty() { dt { "tags" } dd.tags { (parts::all_tags(&tags)) } }
            dt { "addresses" }
            dd { @for ip in &state.addresses { code { (ip) } br; } @if state.addresses.is_empty() { span.unsure { "none told" } } }
            @if let Some(os) = &state.os { dt { "system" } dd { (words::foreign(os)) } }
            @if let Some(version) = &state.client_version { dt { "client" } dd { (words::identifier(version, 26)) } }
            @if let Some(hostname) = &state.hostname { dt { "calls itself" } dd { (words::foreign(hostname)) } }
            @if let Some(created) = state.created { dt { "joined" } dd { (words::clock(created, self.now)) span.q { " UTC" } } }
            @if let Some(online) = state.online { dt { "online" } dd { @if online { "yes, as of " (words::clock(told.as_of, self.now)) " UTC" } @else { "no" } } }
        }
    }

    fn key(&self, told: &ToldDevice) -> Markup {
        let state = &told.state;
        html! {
            h2 { "Node key" }
            dl {
                dt { "expires" }
                dd {
                    @if state.key_expiry_disabled == Some(true) { "never: expiry is switched off" }
                    @else if let Some(expires) = state.expires { span.unsure[expired(told, self.now)] { (words::clock(expires, self.now)) " UTC, " (words::ago(expires, self.now)) } }
                    @else if state.expired == Some(true) { span.unsure { "expired" } }
                    @else { span.q { "not told" } }
                }
                @if let Some(key) = &state.node_key { dt { "key" } dd { (words::identifier(key, 26)) } }
                @if let Some(key) = &state.machine_key { dt { "machine" } dd { (words::identifier(key, 26)) } }
            }
        }
    }

    fn routes(&self, told: &ToldDevice) -> Markup {
        let state = &told.state;
        let offered: Vec<&String> = state.advertised_routes.difference(&state.enabled_routes).collect();
        html! {
            @if !state.enabled_routes.is_empty() || !offered.is_empty() {
                h2 { "Routes" }
                ul.plain {
                    @for route in &state.enabled_routes { li { code { (words::foreign(route)) } " in force" } }
                    @for route in offered { li { code { (words::foreign(route)) } " " span.unsure { "offered, not enabled" } } }
                }
            }
        }
    }
}
