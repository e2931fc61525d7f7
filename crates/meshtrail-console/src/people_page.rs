//! The page of the list of people: those in the mesh, and those removed from it.

use maud::{Markup, html};
use meshtrail_api::directory::PersonView;
use meshtrail_api::people::PersonListItem;
use meshtrail_event::Timestamp;
use meshtrail_views::mesh::DirectoryList;

use super::components::{Slice, finder};
use super::format;
use super::layout::empty;
use super::page_filter::address;
use super::view::ListRequest;

/// The command shown in an empty list, which configures a control plane.
pub(crate) const FIRST_STEP: &str = "printf '[sources.headscale]\\nurl = \"http://127.0.0.1:8080\"\\napi_key_file = \"headscale.key\"\\n' >> meshtrail.toml";

/// The content of the page.
pub struct PeoplePage<'a> {
    /// What the address asks for; the list is of the present, whatever `at` says.
    pub request: &'a ListRequest,
    /// All rows that the request selects.
    pub list: &'a DirectoryList<PersonListItem>,
    /// When the page is made.
    pub now: Timestamp,
}

/// The links that select people: label, and value of `show`.
const SHOWN: &[(&str, &str)] =
    &[("everybody", ""), ("not active", "inactive"), ("gone", "gone"), ("sources disagree", "doubt")];

impl PeoplePage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        let ListRequest { q, show, .. } = self.request;
        html! {
            (finder("/people", q, "part of a name, login, group or role", &[("show", show)]))
            h1 { "People" }
            nav.quick aria-label="Which people" {
                @for (name, shown) in SHOWN {
                    a href=(address("/people", &[("q", q), ("show", shown)])) aria-current=[(show == shown).then_some("true")] { (name) }
                }
            }
            @if self.list.known == 0 { (empty_directory()) }
            @else if self.list.rows.is_empty() { (self.no_match()) }
            @else {
                @let slice = Slice::new(self.request.from, self.list.rows.len());
                (self.table(&self.list.rows[slice.range()])) (slice.pager("/people", &self.parameters()))
            }
        }
    }

    fn parameters(&self) -> [(&str, &str); 2] {
        [("q", &self.request.q), ("show", &self.request.show)]
    }

    fn no_match(&self) -> Markup {
        let command = format!(
            "curl -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:7411{}'",
            address("/api/v1/people", &self.parameters())
        );
        empty("Nobody matches", "No person fits what is asked for. The API says the same:", Some(&command))
    }

    fn table(&self, rows: &[PersonListItem]) -> Markup {
        html! {
            table.list.people {
                thead { tr {
                    th.c-login scope="col" { "Who" } th.c-role scope="col" { "Role" } th scope="col" { "Groups" }
                    th.c-few.r scope="col" { "Devices" } th.c-time scope="col" { "Last seen (UTC)" } th.c-by scope="col" { "Reported by" }
                } }
                tbody { @for row in rows { (self.row(row)) } }
            }
        }
    }

    fn row(&self, row: &PersonListItem) -> Markup {
        let (person, state) = (&row.person, &row.person.state);
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
    html! {
        @if person.gone.is_some() { span.unsure { "gone" } }
        @else if !state.is_active() { span.unsure { (format::clipped(state.status.as_deref().unwrap_or_default(), 20)) } }
        @else { (format::clipped(state.role.as_deref().unwrap_or("not told"), 20)) }
        @if person.conflict.is_some() { " " span.unsure { "· sources disagree" } }
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
