//! The page of the list of devices: those in the mesh, and those removed from it.

use maud::{Markup, html};
use meshtrail_api::directory::DeviceView;
use meshtrail_event::Timestamp;
use meshtrail_views::mesh::DirectoryList;

use super::components::{Slice, finder, owner, short_name};
use super::format;
use super::layout::empty;
use super::page_filter::{address, under};
use super::people_page::FIRST_STEP;
use super::view::ListRequest;

/// The content of the page.
pub struct DevicesPage<'a> {
    /// What the address asks for.
    pub request: &'a ListRequest,
    /// All rows that the request selects.
    pub list: &'a DirectoryList<DeviceView>,
    /// When the page is made.
    pub now: Timestamp,
}

/// The links that select devices: label, and value of `show`.
const SHOWN: &[(&str, &str)] = &[
    ("all", ""),
    ("tagged", "tagged"),
    ("people's", "owned"),
    ("routers and exit nodes", "routes"),
    ("not approved", "unauthorized"),
    ("key expired", "expired"),
    ("gone", "gone"),
    ("sources disagree", "doubt"),
];

impl DevicesPage<'_> {
    fn parameters(&self) -> [(&str, &str); 3] {
        [("q", &self.request.q), ("show", &self.request.show), ("at", &self.request.at)]
    }

    /// The page's content.
    pub fn render(&self) -> Markup {
        let ListRequest { q, show, at, .. } = self.request;
        html! {
            (finder("/devices", q, "part of a name, owner, tag, address or id", &[("show", show), ("at", at)]))
            h1 { "Devices" @if !at.is_empty() { " " span.as { "as of " (format::untrusted(at)) } } }
            nav.quick aria-label="Which devices" {
                @for (name, shown) in SHOWN {
                    a href=(address("/devices", &[("q", q), ("show", shown), ("at", at)])) aria-current=[(show == shown).then_some("true")] { (name) }
                }
            }
            @if self.list.known == 0 {
                (empty("No device is known yet", "Devices come from a control plane: Tailscale or Headscale, asked with a key of its own. Three lines of configuration, then start the server again:", Some(FIRST_STEP)))
            } @else if self.list.rows.is_empty() { (self.no_match()) }
            @else {
                @let slice = Slice::new(self.request.from, self.list.rows.len());
                (self.table(&self.list.rows[slice.range()])) (slice.pager("/devices", &self.parameters()))
            }
        }
    }

    fn no_match(&self) -> Markup {
        let command = format!(
            "curl -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:7411{}'",
            address("/api/v1/devices", &self.parameters())
        );
        empty("No device matches", "None fits what is asked for. The API says the same:", Some(&command))
    }

    fn table(&self, rows: &[DeviceView]) -> Markup {
        html! {
            table.list.devices {
                thead { tr {
                    th.c-name scope="col" { "Device" } th.c-owner scope="col" { "Owner" } th.c-address scope="col" { "Address" }
                    th.c-os scope="col" { "System" } th.c-time scope="col" { "Last seen (UTC)" } th scope="col" { "Remarks" }
                } }
                tbody { @for device in rows { (self.row(device)) } }
            }
        }
    }

    fn row(&self, device: &DeviceView) -> Markup {
        let state = &device.state;
        let tags: Vec<&str> = state.tags.iter().map(String::as_str).collect();
        let name = state.name.as_deref().or(state.hostname.as_deref()).unwrap_or(&state.id);
        html! {
            tr id={ "d-" (state.id) } data-row {
                td.at-name { a.open href=(under("/devices", &state.id)) title=(meshtrail_event::text::visible(name)) { (format::clipped(short_name(name), 34)) } }
                td.at-owner { (owner(state.owner.as_deref(), &tags)) }
                td.at-address { @match state.addresses.first() { Some(first) => code { (first) }, None => span.unsure { "none told" } } }
                td.at-os.q { (format::clipped(state.os.as_deref().unwrap_or(""), 12)) }
                td.at-time { (super::components::describe_presence(state.online, state.last_seen, self.now)) }
                td.at-know { (remarks(device, self.now)) }
            }
        }
    }
}

/// What is unusual about a device, the most severe first.
pub(crate) fn remarks(device: &DeviceView, now: Timestamp) -> Markup {
    let state = &device.state;
    let exit = state.enabled_routes.iter().any(|route| route == "0.0.0.0/0" || route == "::/0");
    let routes =
        state.enabled_routes.iter().filter(|route| *route != "0.0.0.0/0" && *route != "::/0").count();
    html! {
        @if let Some(gone) = device.gone { span.unsure { "gone since " (format::clock(gone, now)) } " " }
        @if state.authorized == Some(false) { span.alarm { "not approved" } " " }
        @if is_expired(device, now) { span.unsure { "key expired" } " " }
        @if device.conflict.is_some() { span.unsure { "sources disagree" } " " }
        @if state.external == Some(true) { span { "shared in" } " " }
        @if exit { span { "exit node" } " " }
        @if routes > 0 { span { (format::plural(routes as u64, "route", "routes")) } " " }
        @if state.key_expiry_disabled == Some(true) { span.q { "key never expires" } }
    }
}

/// Whether the device's node key has expired, as reported or by its expiry time.
pub(crate) fn is_expired(device: &DeviceView, now: Timestamp) -> bool {
    let state = &device.state;
    let past = state.expires.is_some_and(|expires| expires < now) && state.key_expiry_disabled != Some(true);
    device.gone.is_none() && (state.expired == Some(true) || past)
}
