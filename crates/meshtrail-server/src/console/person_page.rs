//! One person: what they did, when, from where; what is theirs; what they were; how it is known.

use maud::{Markup, html};
use meshtrail_event::{Event, Family, Timestamp};

use super::activity::strip;
use super::ask::{address, term, under};
use super::layout::empty;
use super::parts::{Leads, counted, history, moment, ranges};
use super::people_page::standing;
use super::sentence::sentence;
use super::sessions_page;
use super::view::SessionView;
use super::words;
use crate::mesh::{Account, Doings, Stretch, ToldDevice, ToldPerson};

/// What the page shows.
pub(crate) struct PersonPage<'a> {
    pub(crate) login: &'a str,
    /// As the directory tells; none where only events do.
    pub(crate) told: Option<&'a ToldPerson>,
    pub(crate) devices: &'a [ToldDevice],
    pub(crate) history: &'a [Stretch],
    pub(crate) doings: &'a Doings,
    pub(crate) sessions: &'a [SessionView],
    /// Changes they made in the mesh: index and event.
    pub(crate) changes: &'a [(u64, Event)],
    /// The stretch of time looked back over, as chosen: `30d`.
    pub(crate) since: &'a str,
    pub(crate) now: Timestamp,
}

impl PersonPage<'_> {
    /// What all links to their events begin with.
    fn base(&self) -> String {
        format!("{} since:{}", term("person", self.login), self.since)
    }

    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        let doings = self.doings;
        html! {
            div.with-side {
                section.main {
                    p.crumb { a href="/people" data-back { "People" } " / " (words::identifier(self.login, 60)) }
                    h1 { (words::foreign(self.login)) @if let Some(name) = self.display_name() { " " span.as { (words::foreign(name)) } } }
                    (self.standing_line())
                    (ranges(&under("/people", self.login), self.since, &[]))
                    (summary(doings, &self.base(), &format!("{} -kind:flow -kind:log since:{}", term("actor", self.login), self.since)))
                    @if doings.events > 0 {
                        div.did {
                            (strip(doings, &format!("{} -kind:flow -kind:log", term("person", self.login)), self.now))
                            div.columns {
                                (counted("What", &doings.kinds, &self.base(), Leads::Field("kind")))
                                (counted("On what", &doings.targets, &self.base(), Leads::Field("target")))
                                (counted("From which devices", &doings.devices, &self.base(), Leads::Device))
                                (counted("From which addresses", &doings.addresses, &self.base(), Leads::Field("address")))
                            }
                        }
                        (sessions(self.sessions, &term("person", self.login), "All their sessions", self.now))
                        (changes(self.changes, &term("actor", self.login), self.now))
                        (recent(&doings.recent, &self.base(), self.now))
                    } @else { (self.nothing()) }
                    @if !self.history.is_empty() { h2 { "What they were" } (history(self.history, self.now)) }
                }
                aside { (self.side()) }
            }
        }
    }

    fn display_name(&self) -> Option<&str> {
        self.told.and_then(|told| told.state.name.as_deref()).filter(|name| *name != self.login)
    }

    fn standing_line(&self) -> Markup {
        html! {
            @match self.told {
                Some(told) => p.when {
                    (standing(told))
                    @if let Some(gone) = told.gone { " since " (words::clock(gone, self.now)) " UTC" }
                    @if let Some(seen) = told.state.last_seen { span.q { " · last seen " } (words::clock(seen, self.now)) span.q { " UTC" } }
                },
                None => p.unsure { "No control plane has told of this person. What stands here is from events alone." },
            }
        }
    }

    fn nothing(&self) -> Markup {
        let command = format!("meshtrail events query {}", words::shell_word(&self.base()));
        empty(
            "Nothing in this time",
            "No event of this person is in the trail for it. The command line asks the same:",
            Some(&command),
        )
    }

    fn side(&self) -> Markup {
        html! {
            h2 { "Who" }
            dl {
                dt { "login" } dd { (words::identifier(self.login, 34)) }
                @if let Some(told) = self.told { (self.told_lines(told)) }
            }
            @if let Some(told) = self.told { (disagree(told.conflict.as_deref(), &[], self.now)) }
            h2 { "Devices" }
            @if self.devices.is_empty() { p.q.small { "None is theirs" @if self.told.is_none() { ", as far as is known" } "." } }
            @else { (devices(self.devices)) }
            h2 { "Talks to" }
            p.small { a href=(address("/network", &[("by", "device"), ("of", &format!("person:{}", self.login)), ("since", self.since)])) { "Who they exchanged traffic with" } }
            h2 { "How we know" }
            (known(self.told.map(|told| (told.by.as_str(), told.as_of)), self.doings, self.now))
        }
    }

    fn told_lines(&self, told: &ToldPerson) -> Markup {
        let state = &told.state;
        let groups: Vec<&str> = state.groups.iter().map(String::as_str).collect();
        html! {
            dt { "role" } dd { (words::foreign(state.role.as_deref().unwrap_or("not told"))) }
            @if let Some(status) = &state.status { dt { "status" } dd { (words::foreign(status)) } }
            @if let Some(kind) = &state.of_type { dt { "type" } dd { (words::foreign(kind)) } }
            @if !groups.is_empty() { dt { "groups" } dd.tags { (all_groups(&groups)) } }
            @if let Some(created) = state.created { dt { "added" } dd { (words::clock(created, self.now)) span.q { " UTC" } } }
            @if !state.id.is_empty() { dt { "id" } dd { (words::identifier(&state.id, 26)) } }
        }
    }
}

fn all_groups(groups: &[&str]) -> Markup {
    html! {
        @for group in groups { span.tag { a href=(address("/people", &[("q", group)])) { (words::clipped(group, 30)) } } " " }
    }
}

fn devices(devices: &[ToldDevice]) -> Markup {
    html! {
        ul.beside.plain-rows {
            @for told in devices.iter().take(12) {
                li {
                    (super::parts::device(&told.state.id, told.state.name.as_deref(), 28)) " "
                    @if told.gone.is_some() { span.unsure { "gone" } }
                    @else { span.q { (words::clipped(told.state.os.as_deref().unwrap_or(""), 12)) } }
                }
            }
        }
        @if devices.len() > 12 { p.small.q { "and " (devices.len() - 12) " more" } }
    }
}

/// How much was counted, and what was left out.
pub(crate) fn summary(doings: &Doings, base: &str, claims: &str) -> Markup {
    html! {
        p {
            a href=(address("/events", &[("q", base)])) { (words::counted(doings.events, "event", "events")) }
            @if doings.refused > 0 {
                ", " a.alarm href=(address("/events", &[("q", &format!("{base} outcome:denied,failure"))])) { (words::counted(doings.refused, "denied or failed", "denied or failed")) }
            }
            @if let (Some(first), Some(last)) = (doings.first, doings.last) {
                span.q { ", " } (span_of(first, last))
            }
            span.q { "; flows and log lines are not counted here." }
        }
        @if doings.counted_from > doings.since {
            p.unsure.small { "There is more than a page can wait for: these are the newest, whole from " (doings.counted_from.to_string()[..19].replace('T', " ")) " UTC on." }
        }
        @if doings.claimed > 0 {
            p.unsure { (words::counted(doings.claimed, "more event names", "more events name")) " them in another way: a sender's claim the mesh contradicts, or a name that another device or person has. " a href=(address("/events", &[("q", claims)])) { "All of them" } }
        }
    }
}

fn span_of(first: Timestamp, last: Timestamp) -> Markup {
    let (first, last) = (first.to_string(), last.to_string());
    html! { time datetime=(first) { (first[..16].replace('T', " ")) } span.q { " to " } time datetime=(last) { (last[..16].replace('T', " ")) } span.q { " UTC" } }
}

/// The newest few sessions; `all` leads to the others.
pub(crate) fn sessions(sessions: &[SessionView], base: &str, all: &str, now: Timestamp) -> Markup {
    html! {
        @if !sessions.is_empty() {
            h2 { "Sessions" }
            table.list.few-sessions {
                thead { tr { th.c-state scope="col" { "State" } th.c-who scope="col" { "Who" } th.c-target scope="col" { "Target" } th.c-time scope="col" { "Started (UTC)" } th.c-length.r scope="col" { "Length" } th scope="col" { "What was run" } } }
                tbody {
                    @for session in sessions {
                        tr data-row {
                            td.at-state { (sessions_page::state(session.state)) }
                            td.at-who { (words::clipped(&words::name_of(&session.actor).unwrap_or_else(|| "not known".to_owned()), 28)) }
                            td.at-target { (words::clipped(&session.target.label().unwrap_or_default(), 24)) @if let Some(account) = &session.target.account { span.q { " as " (words::clipped(account, 12)) } } }
                            td.at-time { (words::clock(session.started, now)) }
                            td.at-length.r.n { (words::length(session.length(now))) }
                            td.at-run { a.open href=(under("/sessions", session.id.as_str())) { (sessions_page::run(session)) } }
                        }
                    }
                }
            }
            p.small { a href=(address("/sessions", &[("q", base)])) { (all) } }
        }
    }
}

/// Changes in the mesh's configuration, the newest few.
pub(crate) fn changes(changes: &[(u64, Event)], term: &str, now: Timestamp) -> Markup {
    html! {
        @if !changes.is_empty() {
            h2 { "Changes in the mesh" }
            (rows(changes, now))
            p.small { a href=(address("/changes", &[("q", term)])) { "All of them" } }
        }
    }
}

/// The newest events.
pub(crate) fn recent(events: &[(u64, Event)], base: &str, now: Timestamp) -> Markup {
    html! {
        @if !events.is_empty() {
            h2 { "Newest" }
            (rows(events, now))
            p.small { a href=(address("/events", &[("q", base)])) { "All events" } }
        }
    }
}

fn rows(events: &[(u64, Event)], now: Timestamp) -> Markup {
    html! {
        table.list.said {
            thead { tr { th.c-time scope="col" { "Time (UTC)" } th.c-subject scope="col" { "Who" } th scope="col" { "What" } th.c-index.r scope="col" { "Index" } } }
            tbody {
                @for (index, event) in events {
                    tr data-row {
                        td.at-time { (words::clock(event.time, now)) }
                        td.at-who { (subject(event)) }
                        td.at-what { a.open href=(under("/events", &event.id.to_string())) { (sentence(event)) } }
                        td.at-index.r.n.q { (index) }
                    }
                }
            }
        }
    }
}

/// Whoever acted, as a link to their page.
pub(crate) fn subject(event: &Event) -> Markup {
    let actor = &event.actor;
    html! {
        @let own = event.kind.family() == Family::Finding && actor.is_empty();
        @if own || words::by_itself(event) { span.q { "Meshtrail" } }
        @else if let Some(person) = &actor.person { (super::parts::person(&person.login, 28)) }
        @else if let Some(label) = words::name_of(actor) { (words::clipped(&label, 28)) }
        @else if event.identity.is_empty() { span.q { "nobody named" } }
        @else { span.unsure { "not known" } }
    }
}

/// What speaks against what is shown, and what each teller says.
pub(crate) fn disagree(conflict: Option<&str>, accounts: &[Account], now: Timestamp) -> Markup {
    html! {
        @if let Some(conflict) = conflict {
            h2 { "Tellers disagree" }
            p.unsure.small { (words::foreign(conflict)) }
        }
        @if accounts.len() > 1 {
            @if conflict.is_none() { h2 { "Who says what" } }
            dl {
                @for account in accounts {
                    dt { (words::foreign(&account.by)) }
                    dd {
                        @match &account.whose { Some(whose) => (words::foreign(whose)), None => span.unsure { "gone" } }
                        br; span.q { "as of " (words::clock(account.as_of, now)) " UTC" }
                    }
                }
            }
        }
    }
}

/// Who told, as of when, and how the events' actors are known.
pub(crate) fn known(told: Option<(&str, Timestamp)>, doings: &Doings, now: Timestamp) -> Markup {
    html! {
        dl {
            @match told {
                Some((by, as_of)) => {
                    dt { "told by" } dd { (words::foreign(by)) }
                    dt { "as of" } dd { (moment(Some(as_of), "", now)) span.q { " UTC" } }
                }
                None => { dt { "told by" } dd.unsure { "events alone" } }
            }
            @for (at, often) in doings.known_by.top.iter().take(4).enumerate() {
                dt { @if at == 0 { "in events" } } dd { (words::clipped(&often.value, 20)) span.q { ", in " (words::count(often.events)) } }
            }
        }
    }
}
