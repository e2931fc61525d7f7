//! Every device of the mesh, and those that left it.

use maud::{Markup, html};
use meshtrail_event::Timestamp;

use super::ask::{address, under};
use super::layout::empty;
use super::parts::{Slice, finder, owner, short_name};
use super::people_page::FIRST_STEP;
use super::words;
use crate::mesh::ToldDevice;

/// What the list shows.
pub(crate) struct DevicesPage<'a> {
    pub(crate) text: &'a str,
    /// Which devices: see [`SHOWN`].
    pub(crate) show: &'a str,
    /// The moment the list is of, as it was asked for; empty for now.
    pub(crate) at: &'a str,
    pub(crate) rows: &'a [&'a ToldDevice],
    pub(crate) slice: Slice,
    /// Whether no device is known at all.
    pub(crate) none: bool,
    pub(crate) now: Timestamp,
}

/// Which devices can be asked for.
pub(crate) const SHOWN: &[(&str, &str)] = &[
    ("all", ""),
    ("tagged", "tagged"),
    ("people's", "owned"),
    ("routers and exit nodes", "routes"),
    ("not approved", "unauthorized"),
    ("key expired", "expired"),
    ("gone", "gone"),
    ("tellers disagree", "doubt"),
];

impl DevicesPage<'_> {
    fn keep(&self) -> [(&str, &str); 3] {
        [("q", self.text), ("show", self.show), ("at", self.at)]
    }

    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        html! {
            (finder("/devices", self.text, "part of a name, owner, tag, address or id", &[("show", self.show), ("at", self.at)]))
            h1 { "Devices" @if !self.at.is_empty() { " " span.as { "as of " (words::foreign(self.at)) } } }
            nav.quick aria-label="Which devices" {
                @for (name, show) in SHOWN {
                    a href=(address("/devices", &[("q", self.text), ("show", show), ("at", self.at)])) aria-current=[(self.show == *show).then_some("true")] { (name) }
                }
            }
            @if self.none {
                (empty("No device is known yet", "Devices come from a control plane: Tailscale or Headscale, asked with a key of its own. Three lines of configuration, then start the server again:", Some(FIRST_STEP)))
            } @else if self.rows.is_empty() { (self.none_found()) }
            @else { (self.table()) (self.slice.pager("/devices", &self.keep())) }
        }
    }

    fn none_found(&self) -> Markup {
        let command = format!(
            "curl -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:7411{}'",
            address("/api/v1/devices", &self.keep())
        );
        empty("No device matches", "None fits what is asked for. The API says the same:", Some(&command))
    }

    fn table(&self) -> Markup {
        html! {
            table.list.devices {
                thead { tr {
                    th.c-name scope="col" { "Device" } th.c-owner scope="col" { "Whose" } th.c-address scope="col" { "Address" }
                    th.c-os scope="col" { "System" } th.c-time scope="col" { "Last seen (UTC)" } th scope="col" { "To know" }
                } }
                tbody { @for told in self.rows { (self.row(told)) } }
            }
        }
    }

    fn row(&self, told: &ToldDevice) -> Markup {
        let state = &told.state;
        let tags: Vec<&str> = state.tags.iter().map(String::as_str).collect();
        let name = state.name.as_deref().or(state.hostname.as_deref()).unwrap_or(&state.id);
        html! {
            tr id={ "d-" (state.id) } data-row {
                td.at-name { a.open href=(under("/devices", &state.id)) title=(meshtrail_event::text::visible(name)) { (words::clipped(short_name(name), 34)) } }
                td.at-owner { (owner(state.owner.as_deref(), &tags)) }
                td.at-address { @match state.addresses.first() { Some(first) => code { (first) }, None => span.unsure { "none told" } } }
                td.at-os.q { (words::clipped(state.os.as_deref().unwrap_or(""), 12)) }
                td.at-time { (super::parts::seen(state.online, state.last_seen, self.now)) }
                td.at-know { (to_know(told, self.now)) }
            }
        }
    }
}

/// What is unusual about a device, in words, the gravest first.
pub(crate) fn to_know(told: &ToldDevice, now: Timestamp) -> Markup {
    let state = &told.state;
    let exit = state.enabled_routes.iter().any(|route| route == "0.0.0.0/0" || route == "::/0");
    let routes =
        state.enabled_routes.iter().filter(|route| *route != "0.0.0.0/0" && *route != "::/0").count();
    html! {
        @if let Some(gone) = told.gone { span.unsure { "gone since " (words::clock(gone, now)) } " " }
        @if state.authorized == Some(false) { span.alarm { "not approved" } " " }
        @if expired(told, now) { span.unsure { "key expired" } " " }
        @if told.conflict.is_some() { span.unsure { "tellers disagree" } " " }
        @if state.external == Some(true) { span { "shared in" } " " }
        @if exit { span { "exit node" } " " }
        @if routes > 0 { span { (words::counted(routes as u64, "route", "routes")) } " " }
        @if state.key_expiry_disabled == Some(true) { span.q { "key never expires" } }
    }
}

/// Whether its node key is past its time, by what was told.
pub(crate) fn expired(told: &ToldDevice, now: Timestamp) -> bool {
    let state = &told.state;
    let past = state.expires.is_some_and(|expires| expires < now) && state.key_expiry_disabled != Some(true);
    told.gone.is_none() && (state.expired == Some(true) || past)
}
