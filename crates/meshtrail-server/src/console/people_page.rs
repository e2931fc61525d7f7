//! The page of the list of people: those in the mesh, and those removed from it.

use maud::{Markup, html};
use meshtrail_api::directory::PersonView;
use meshtrail_event::Timestamp;

use super::components::{Slice, finder};
use super::format;
use super::layout::empty;
use super::page_filter::address;

/// The command shown in an empty list, which configures a control plane.
pub(crate) const FIRST_STEP: &str = "printf '[sources.headscale]\\nurl = \"http://127.0.0.1:8080\"\\napi_key_file = \"headscale.key\"\\n' >> meshtrail.toml";

/// A row of the list.
pub(crate) struct PersonRow<'a> {
    pub(crate) person: &'a PersonView,
    /// Number of devices they own.
    pub(crate) devices: usize,
}

/// The content of the page.
pub(crate) struct PeoplePage<'a> {
    pub(crate) text: &'a str,
    /// Which people: see [`SHOWN`].
    pub(crate) show: &'a str,
    pub(crate) rows: &'a [PersonRow<'a>],
    pub(crate) slice: Slice,
    /// Whether the directory knows nobody at all.
    pub(crate) directory_empty: bool,
    pub(crate) now: Timestamp,
}

/// The links that select people: label, and value of `show`.
const SHOWN: &[(&str, &str)] =
    &[("everybody", ""), ("not active", "inactive"), ("gone", "gone"), ("tellers disagree", "doubt")];

impl PeoplePage<'_> {
    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        html! {
            (finder("/people", self.text, "part of a name, login, group or role", &[("show", self.show)]))
            h1 { "People" }
            nav.quick aria-label="Which people" {
                @for (name, show) in SHOWN {
                    a href=(address("/people", &[("q", self.text), ("show", show)])) aria-current=[(self.show == *show).then_some("true")] { (name) }
                }
            }
            @if self.directory_empty { (empty_directory()) }
            @else if self.rows.is_empty() { (self.no_match()) }
            @else { (self.table()) (self.slice.pager("/people", &[("q", self.text), ("show", self.show)])) }
        }
    }

    fn no_match(&self) -> Markup {
        let command = format!(
            "curl -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:7411{}'",
            address("/api/v1/people", &[("q", self.text), ("show", self.show)])
        );
        empty("Nobody matches", "No person fits what is asked for. The API says the same:", Some(&command))
    }

    fn table(&self) -> Markup {
        html! {
            table.list.people {
                thead { tr {
                    th.c-login scope="col" { "Who" } th.c-role scope="col" { "Role" } th scope="col" { "Groups" }
                    th.c-few.r scope="col" { "Devices" } th.c-time scope="col" { "Last seen (UTC)" } th.c-by scope="col" { "Told by" }
                } }
                tbody { @for row in self.rows { (self.row(row)) } }
            }
        }
    }

    fn row(&self, row: &PersonRow<'_>) -> Markup {
        let (person, state) = (row.person, &row.person.state);
        let groups: Vec<&str> = state.groups.iter().map(String::as_str).collect();
        html! {
            tr id={ "p-" (state.login) } data-row {
                td.at-login { (row_link(&state.login)) @if let Some(name) = &state.name { " " span.q { (format::clipped(name, 28)) } } }
                td.at-role { (standing(person)) }
                td.at-groups { (group_tags(&groups)) }
                td.at-few.r.n { span.label { "devices " } (row.devices) }
                td.at-time { (super::components::describe_presence(None, state.last_seen, self.now)) }
                td.at-by.q { (format::clipped(&person.by, 18)) }
            }
        }
    }
}

/// The row's link to the person's page.
fn row_link(login: &str) -> Markup {
    html! { a.open href=(super::page_filter::under("/people", login)) { (format::clipped(login, 40)) } }
}

/// Role, or what is unusual in amber: gone, a status that is not active, a conflict.
pub(crate) fn standing(person: &PersonView) -> Markup {
    let state = &person.state;
    let active = state.status.as_deref().is_none_or(|status| matches!(status, "active" | "idle"));
    html! {
        @if person.gone.is_some() { span.unsure { "gone" } }
        @else if !active { span.unsure { (format::clipped(state.status.as_deref().unwrap_or_default(), 20)) } }
        @else { (format::clipped(state.role.as_deref().unwrap_or("not told"), 20)) }
        @if person.conflict.is_some() { " " span.unsure { "· tellers disagree" } }
    }
}

fn group_tags(groups: &[&str]) -> Markup {
    let (first, rest) = groups.split_at(groups.len().min(3));
    html! {
        @for group in first { span.tag { a href=(address("/people", &[("q", group)])) { (format::clipped(group.trim_start_matches("group:"), 22)) } } " " }
        @if !rest.is_empty() { span.q title=(meshtrail_event::text::visible(&rest.join(" "))) { "+" (rest.len()) } }
    }
}

fn empty_directory() -> Markup {
    empty(
        "Nobody is known yet",
        "People come from a control plane: Tailscale or Headscale, asked with a key of its own. Three lines of configuration, then start the server again:",
        Some(FIRST_STEP),
    )
}
