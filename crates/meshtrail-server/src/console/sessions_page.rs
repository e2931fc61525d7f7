//! The list of sessions: live ones on top, then the newest.

use maud::{Markup, html};
use meshtrail_event::Timestamp;

use super::ask::{Ask, under};
use super::layout::{empty, pager, what, who};
use super::view::{Paging, SessionView, State};
use super::words;

/// What the list shows.
pub(crate) struct SessionsPage<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) sessions: &'a [SessionView],
    pub(crate) paging: &'a Paging,
    /// The command that would make the first session come, for an empty list.
    pub(crate) first_step: &'a str,
    pub(crate) now: Timestamp,
}

/// Common questions, beside what the filter says already.
const QUICK: &[(&str, &str)] = &[
    ("SSH", "kind:ssh"),
    ("kubectl", "kind:kube"),
    ("who is in doubt", "identity:conflicting,self-reported"),
];

impl SessionsPage<'_> {
    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        html! {
            (self.ask.form())
            h1 { (self.heading()) }
            (self.states())
            @if self.sessions.is_empty() { (self.nothing()) } @else { (self.table()) (pager(self.ask, self.paging)) }
        }
    }

    fn heading(&self) -> String {
        if self.ask.mistake.is_some() {
            return "Sessions".to_owned();
        }
        let live = self.sessions.iter().filter(|session| session.state == State::Live).count();
        let rest = self.sessions.len() - live;
        let counted = words::counted(rest as u64, "session", "sessions");
        // A page is not the whole list: the number is the list's only where nothing stands before or after it.
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

    /// Filters of one click, where the box would be much typing.
    fn states(&self) -> Markup {
        html! {
            nav.quick aria-label="States" {
                @for (name, state) in [("all", ""), ("live", "live"), ("ended", "ended"), ("interrupted", "interrupted"), ("failed", "failed")] {
                    a href=(self.ask.in_state(state)) aria-current=[(self.ask.state == state).then_some("true")] { (name) }
                }
                span.apart {}
                @for (name, term) in QUICK {
                    @let chosen = self.ask.has(term);
                    a href=(if chosen { self.ask.without(term) } else { self.ask.with(term) }) aria-current=[chosen.then_some("true")] { (name) }
                }
            }
        }
    }

    fn nothing(&self) -> Markup {
        if self.ask.mistake.is_some() {
            return html! { p.q { "The filter can't be read, so nothing was searched." } };
        }
        if self.paging.next.is_some() {
            return html! { p.q { "Nothing among the sessions looked through so far; older ones are left." } (pager(self.ask, self.paging)) };
        }
        if self.ask.is_open() {
            let text = "No node has sent a recording yet. A session is recorded when the tailnet policy names this \
                        recorder for it; then it stands here as soon as it begins.";
            return empty("Nothing recorded yet", text, Some(self.first_step));
        }
        let state =
            if self.ask.state.is_empty() { String::new() } else { format!(" --state {}", self.ask.state) };
        let command = format!("meshtrail sessions list{state} {}", super::words::shell_word(&self.ask.text));
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
                tbody { @for session in self.sessions { (self.row(session)) } }
            }
        }
    }

    fn row(&self, session: &SessionView) -> Markup {
        let id = session.id.as_str();
        let length = words::length(session.length(self.now));
        html! {
            tr id=(id) data-row {
                td.at-state { (state(session.state)) }
                td.at-who { (who(&session.actor, &session.identity, self.ask)) }
                td.at-target { (what(&session.target, self.ask)) }
                td.at-time { (words::clock(session.started, self.now)) }
                td.at-length.r.n data-since=[(session.state == State::Live).then_some(session.started)] { (length) }
                td.at-run { a.open href=(under("/sessions", id)) data-follow[session.state == State::Live] { (run(session)) } (self.note(session)) }
                td.at-size.r.n { (words::size(session.bytes)) }
                td.at-index.r.n { (index(session)) }
            }
        }
    }

    /// What a reader must know about this recording before opening it.
    fn note(&self, session: &SessionView) -> Markup {
        html! {
            @if session.imported_from.is_some() { " " span.unsure { "· imported" } }
            @if let Some(reason) = session.reason.as_deref().filter(|_| session.state != State::Ended) {
                " " span.unsure { "· " (words::clipped(reason, 90)) }
            } @else if let Some(anomaly) = session.anomalies.first() {
                " " span.q { "· " (words::clipped(anomaly, 60)) }
            }
        }
    }
}

/// A state as a word with a shape.
pub(crate) fn state(state: State) -> Markup {
    html! { span class={ "state " (state.word()) } { (state.word()) } }
}

/// The command, or that it was a shell.
pub(crate) fn run(session: &SessionView) -> Markup {
    html! {
        @match session.command.as_deref().filter(|command| !command.trim().is_empty()) {
            Some(command) => code { (words::clipped(command, 160)) },
            None => span.shell { "shell" },
        }
    }
}

fn index(session: &SessionView) -> Markup {
    html! {
        @match &session.proven_by {
            Some((event, Some(index))) => a.quiet href=(under("/events", &event.to_string())) { (index) },
            Some((event, None)) => a.quiet href=(under("/events", &event.to_string())) { "in it" },
            None => span.q title="bound into the trail while it runs, closed by one event at its end" { "open" },
        }
    }
}
