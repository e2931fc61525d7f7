//! Everybody the mesh knows, and who no longer belongs to it.

use maud::{Markup, html};
use meshtrail_event::Timestamp;

use super::ask::address;
use super::layout::empty;
use super::parts::{Slice, finder};
use super::words;
use crate::mesh::ToldPerson;

/// What makes people appear here.
pub(crate) const FIRST_STEP: &str = "printf '[sources.headscale]\\nurl = \"http://127.0.0.1:8080\"\\napi_key_file = \"headscale.key\"\\n' >> meshtrail.toml";

/// One person of the list.
pub(crate) struct PersonRow<'a> {
    pub(crate) told: &'a ToldPerson,
    /// How many devices are theirs.
    pub(crate) devices: usize,
}

/// What the list shows.
pub(crate) struct PeoplePage<'a> {
    pub(crate) text: &'a str,
    /// Which people: `all`, `suspended`, `gone`, `doubt`.
    pub(crate) show: &'a str,
    pub(crate) rows: &'a [PersonRow<'a>],
    pub(crate) slice: Slice,
    /// Whether nobody is known at all.
    pub(crate) nobody: bool,
    pub(crate) now: Timestamp,
}

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
            @if self.nobody { (nobody()) }
            @else if self.rows.is_empty() { (self.none_found()) }
            @else { (self.table()) (self.slice.pager("/people", &[("q", self.text), ("show", self.show)])) }
        }
    }

    fn none_found(&self) -> Markup {
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
        let (told, state) = (row.told, &row.told.state);
        let groups: Vec<&str> = state.groups.iter().map(String::as_str).collect();
        html! {
            tr id={ "p-" (state.login) } data-row {
                td.at-login { (open(&state.login)) @if let Some(name) = &state.name { " " span.q { (words::clipped(name, 28)) } } }
                td.at-role { (standing(told)) }
                td.at-groups { (groups_shown(&groups)) }
                td.at-few.r.n { span.label { "devices " } (row.devices) }
                td.at-time { (super::parts::seen(None, state.last_seen, self.now)) }
                td.at-by.q { (words::clipped(&told.by, 18)) }
            }
        }
    }
}

/// A person as the row's own link.
fn open(login: &str) -> Markup {
    html! { a.open href=(super::ask::under("/people", login)) { (words::clipped(login, 40)) } }
}

/// Role and status, with what is not usual in amber.
pub(crate) fn standing(told: &ToldPerson) -> Markup {
    let state = &told.state;
    let active = state.status.as_deref().is_none_or(|status| matches!(status, "active" | "idle"));
    html! {
        @if told.gone.is_some() { span.unsure { "gone" } }
        @else if !active { span.unsure { (words::clipped(state.status.as_deref().unwrap_or_default(), 20)) } }
        @else { (words::clipped(state.role.as_deref().unwrap_or("not told"), 20)) }
        @if told.conflict.is_some() { " " span.unsure { "· tellers disagree" } }
    }
}

fn groups_shown(groups: &[&str]) -> Markup {
    let (first, rest) = groups.split_at(groups.len().min(3));
    html! {
        @for group in first { span.tag { a href=(address("/people", &[("q", group)])) { (words::clipped(group.trim_start_matches("group:"), 22)) } } " " }
        @if !rest.is_empty() { span.q title=(meshtrail_event::text::visible(&rest.join(" "))) { "+" (rest.len()) } }
    }
}

fn nobody() -> Markup {
    empty(
        "Nobody is known yet",
        "People come from a control plane: Tailscale or Headscale, asked with a key of its own. Three lines of configuration, then start the server again:",
        Some(FIRST_STEP),
    )
}
