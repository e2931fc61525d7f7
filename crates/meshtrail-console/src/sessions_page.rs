//! The page of the list of sessions: live ones first, then the newest.

use maud::{Markup, html};
use meshtrail_api::sessions::{Session, SessionState};
use meshtrail_event::Timestamp;

use super::format;
use super::layout::{actor_line, empty, pager, target_line};
use super::page_filter::{PageFilter, under};
use super::view::{Paging, SessionView};

/// The content of the page.
pub struct SessionsPage<'a> {
    /// The page's filter.
    pub filter: &'a PageFilter,
    /// The sessions, live ones first.
    pub sessions: &'a [SessionView],
    /// The position of this page in the list.
    pub paging: &'a Paging,
    /// The command shown in an empty list, which makes sessions be recorded.
    pub first_step: &'a str,
    /// When the page is made.
    pub now: Timestamp,
}

/// Common filter terms, which are added to the filter.
const QUICK: &[(&str, &str)] = &[
    ("SSH", "kind:ssh"),
    ("kubectl", "kind:kube"),
    ("who is in doubt", "identity:conflicting,self-reported"),
];

impl SessionsPage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        html! {
            (self.filter.form())
            h1 { (self.heading()) }
            (self.states())
            @if self.sessions.is_empty() { (self.nothing()) } @else { (self.table()) (pager(self.filter, self.paging)) }
        }
    }

    fn heading(&self) -> String {
        if self.filter.error.is_some() {
            return "Sessions".to_owned();
        }
        let live = self.sessions.iter().filter(|view| view.session.state == SessionState::Live).count();
        let rest = self.sessions.len() - live;
        let counted = format::plural(rest as u64, "session", "sessions");
        // A page is not the whole list: its number of rows is the list's only where no page is before or after it.
        match (live, rest, self.paging.inside, self.paging.next.is_some()) {
            (0, 0, ..) => "No sessions".to_owned(),
            (live, 0, ..) => format!("{live} live"),
            (0, _, true, _) => format!("{counted} further back"),
            (0, rest, false, true) => format!("The newest {rest} sessions, none live"),
            (0, _, false, false) => format!("{counted}, none live"),
            (live, rest, _, true) => format!("{live} live, then the newest {rest}"),
            (live, rest, _, false) => format!("{live} live, {rest} before"),
        }
    }

    /// Links for the session status and common filter terms.
    fn states(&self) -> Markup {
        html! {
            nav.quick aria-label="States" {
                @for (name, state) in [("all", ""), ("live", "live"), ("ended", "ended"), ("interrupted", "interrupted"), ("failed", "failed")] {
                    a href=(self.filter.with_state(state)) aria-current=[(self.filter.state == state).then_some("true")] { (name) }
                }
                span.apart {}
                @for (name, term) in QUICK {
                    @let chosen = self.filter.has_term(term);
                    a href=(if chosen { self.filter.without_term(term) } else { self.filter.with_term(term) }) aria-current=[chosen.then_some("true")] { (name) }
                }
            }
        }
    }

    fn nothing(&self) -> Markup {
        if self.filter.error.is_some() {
            return html! { p.q { "The filter can't be read, so nothing was searched." } };
        }
        if self.paging.next.is_some() {
            return html! { p.q { "Nothing among the sessions looked through so far; older ones are left." } (pager(self.filter, self.paging)) };
        }
        if self.filter.is_empty() {
            let text = "No node has sent a recording yet. A session is recorded when the tailnet policy names this \
                        recorder for it; then it stands here as soon as it begins.";
            return empty("Nothing recorded yet", text, Some(self.first_step));
        }
        let state = if self.filter.state.is_empty() {
            String::new()
        } else {
            format!(" --state {}", self.filter.state)
        };
        let command =
            format!("meshtrail sessions list{state} {}", super::format::shell_word(&self.filter.text));
        empty(
            "Nothing matches",
            "No session matches this filter. The command line asks the same:",
            Some(&command),
        )
    }

    fn table(&self) -> Markup {
        html! {
            table.sessions data-live {
                thead { tr {
                    th.c-state scope="col" { "State" } th.c-who scope="col" { "Who" } th.c-target scope="col" { "Target" }
                    th.c-time scope="col" { "Started (UTC)" } th.c-length.r scope="col" { "Length" } th scope="col" { "What was run" }
                    th.c-size.r scope="col" { "Size" } th.c-index.r scope="col" { "Index" }
                } }
                tbody { @for view in self.sessions { (self.row(view)) } }
            }
        }
    }

    fn row(&self, view: &SessionView) -> Markup {
        let session = &view.session;
        let (id, live) = (session.id.as_str(), session.state == SessionState::Live);
        html! {
            tr id=(id) data-row {
                td.at-state { (status_badge(&session.state)) }
                td.at-who { (actor_line(&session.actor, &session.identity, self.filter)) }
                td.at-target { (target_line(&session.target, self.filter)) }
                td.at-time { (format::clock(session.started, self.now)) }
                td.at-length.r.n data-since=[live.then_some(session.started)] { (format::hms(view.length(self.now))) }
                td.at-run { a.open href=(under("/sessions", id)) data-follow[live] { (command(session.command.as_deref())) } (self.note(session)) }
                td.at-size.r.n { (format::size(session.bytes)) }
                td.at-index.r.n { (index(view)) }
            }
        }
    }

    /// Notes on a recording: that it was imported, why it was cut off or failed, its first anomaly.
    fn note(&self, session: &Session) -> Markup {
        html! {
            @if session.imported_from.is_some() { " " span.unsure { "· imported" } }
            @if let Some(reason) = session.reason.as_deref().filter(|_| session.state != SessionState::Ended) {
                " " span.unsure { "· " (format::clipped(reason, 90)) }
            } @else if let Some(anomaly) = session.anomalies.first() {
                " " span.q { "· " (format::clipped(anomaly, 60)) }
            }
        }
    }
}

/// A state as a word with a shape.
pub(crate) fn status_badge(state: &SessionState) -> Markup {
    html! { span class={ "state " (state.as_str()) } { (state.as_str()) } }
}

/// The session's command, or that it was a shell.
pub(crate) fn command(command: Option<&str>) -> Markup {
    html! {
        @match command.filter(|command| !command.trim().is_empty()) {
            Some(command) => code { (format::clipped(command, 160)) },
            None => span.shell { "shell" },
        }
    }
}

fn index(view: &SessionView) -> Markup {
    html! {
        @match (&view.session.event, view.index) {
            (Some(event), Some(index)) => a.quiet href=(under("/events", &event.to_string())) { (index) },
            (Some(event), None) => a.quiet href=(under("/events", &event.to_string())) { "in it" },
            (None, _) => span.q title="bound into the trail while it runs, closed by one event at its end" { "open" },
        }
    }
}
