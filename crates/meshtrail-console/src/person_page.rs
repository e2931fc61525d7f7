//! The page of one person: activity, devices, properties over time, and provenance.

use maud::{Markup, html};
use meshtrail_api::directory::{Account, Activity, DeviceView, PersonView};
use meshtrail_event::{Event, Timestamp};
use meshtrail_query::term;
use meshtrail_views::mesh::{CountedActivity, PersonProfile};

use super::activity_chart::activity_chart;
use super::components::{RowLink, history, moment, ranges, value_counts};
use super::format;
use super::layout::empty;
use super::page_filter::{address, under};
use super::people_page::standing;
use super::sentence::sentence;
use super::sessions_page;
use super::view::SessionView;

/// The content of the page.
pub struct PersonPage<'a> {
    /// The login.
    pub login: &'a str,
    /// What the directory knows.
    pub profile: &'a PersonProfile,
    /// What they did in the time range.
    pub activity: &'a CountedActivity,
    /// Their newest sessions.
    pub sessions: &'a [SessionView],
    /// Changes they made in the mesh: index and event.
    pub changes: &'a [(u64, Event)],
    /// The time range, as selected: `30d`.
    pub since: &'a str,
    /// When the page is made.
    pub now: Timestamp,
}

impl PersonPage<'_> {
    /// The filter that all links to their events start with.
    fn base(&self) -> String {
        format!("{} since:{}", term("person", self.login), self.since)
    }

    /// The page's content.
    pub fn render(&self) -> Markup {
        let (activity, periods) = (&self.activity.counts, &self.profile.history);
        html! {
            div.with-side {
                section.main {
                    p.crumb { a href="/people" data-back { "People" } " / " (format::identifier(self.login, 60)) }
                    h1 { (format::untrusted(self.login)) @if let Some(name) = self.display_name() { " " span.as { (format::untrusted(name)) } } }
                    (self.standing_line())
                    (ranges(&under("/people", self.login), self.since, &[]))
                    (summary(activity, &self.base(), &format!("{} -kind:flow -kind:log since:{}", term("actor", self.login), self.since)))
                    @if activity.events > 0 {
                        div.did {
                            (activity_chart(activity, &format!("{} -kind:flow -kind:log", term("person", self.login)), self.now))
                            div.columns {
                                (value_counts("What", &activity.kinds, &self.base(), RowLink::Field("kind")))
                                (value_counts("On what", &activity.targets, &self.base(), RowLink::Field("target")))
                                (value_counts("From which devices", &activity.devices, &self.base(), RowLink::Device))
                                (value_counts("From which addresses", &activity.addresses, &self.base(), RowLink::Field("address")))
                            }
                        }
                        (sessions(self.sessions, &term("person", self.login), "All their sessions", self.now))
                        (changes(self.changes, &term("actor", self.login), self.now))
                        (recent(&self.activity.recent, &self.base(), self.now))
                    } @else { (self.nothing()) }
                    @if !periods.is_empty() { h2 { "What they were" } (history(periods, self.now)) }
                }
                aside { (self.side()) }
            }
        }
    }

    fn display_name(&self) -> Option<&str> {
        let person = self.profile.person.as_ref();
        person.and_then(|person| person.state.name.as_deref()).filter(|name| *name != self.login)
    }

    fn standing_line(&self) -> Markup {
        html! {
            @match &self.profile.person {
                Some(person) => p.when {
                    (standing(person))
                    @if let Some(gone) = person.gone { " since " (format::clock(gone, self.now)) " UTC" }
                    @if let Some(seen) = person.state.last_seen { span.q { " · last seen " } (format::clock(seen, self.now)) span.q { " UTC" } }
                },
                None => p.unsure { "No control plane has reported this person. What is shown here is from events alone." },
            }
        }
    }

    fn nothing(&self) -> Markup {
        let command = format!("meshtrail events query {}", format::shell_word(&self.base()));
        empty(
            "Nothing in this time",
            "No event of this person is in the trail for it. The command line asks the same:",
            Some(&command),
        )
    }

    fn side(&self) -> Markup {
        let PersonProfile { person, devices: theirs, .. } = self.profile;
        html! {
            h2 { "Who" }
            dl {
                dt { "login" } dd { (format::identifier(self.login, 34)) }
                @if let Some(person) = person { (self.state_lines(person)) }
            }
            @if let Some(person) = person { (describe_conflict(person.conflict.as_deref(), &[], self.now)) }
            h2 { "Devices" }
            @if theirs.is_empty() { p.q.small { "None is theirs" @if person.is_none() { ", as far as is known" } "." } }
            @else { (devices(theirs)) }
            h2 { "Talks to" }
            p.small { a href=(address("/network", &[("by", "device"), ("of", &format!("person:{}", self.login)), ("since", self.since)])) { "Who they exchanged traffic with" } }
            h2 { "How we know" }
            (describe_provenance(person.as_ref().map(|person| (person.by.as_str(), person.as_of)), &self.activity.counts, self.now))
        }
    }

    fn state_lines(&self, person: &PersonView) -> Markup {
        let state = &person.state;
        let groups: Vec<&str> = state.groups.iter().map(String::as_str).collect();
        html! {
            dt { "role" } dd { (format::untrusted(state.role.as_deref().unwrap_or("not told"))) }
            @if let Some(status) = &state.status { dt { "status" } dd { (format::untrusted(status)) } }
            @if let Some(kind) = &state.of_type { dt { "type" } dd { (format::untrusted(kind)) } }
            @if !groups.is_empty() { dt { "groups" } dd.tags { (all_groups(&groups)) } }
            @if let Some(created) = state.created { dt { "added" } dd { (format::clock(created, self.now)) span.q { " UTC" } } }
            @if !state.id.is_empty() { dt { "id" } dd { (format::identifier(&state.id, 26)) } }
        }
    }
}

fn all_groups(groups: &[&str]) -> Markup {
    html! {
        @for group in groups { span.tag { a href=(address("/people", &[("q", group)])) { (format::clipped(group, 30)) } } " " }
    }
}

fn devices(devices: &[DeviceView]) -> Markup {
    html! {
        ul.beside.plain-rows {
            @for device in devices.iter().take(12) {
                li {
                    (super::components::device(&device.state.id, device.state.name.as_deref(), 28)) " "
                    @if device.gone.is_some() { span.unsure { "gone" } }
                    @else { span.q { (format::clipped(device.state.os.as_deref().unwrap_or(""), 12)) } }
                }
            }
        }
        @if devices.len() > 12 { p.small.q { "and " (devices.len() - 12) " more" } }
    }
}

/// The number of events counted, and what the count leaves out.
pub(crate) fn summary(activity: &Activity, base: &str, claims: &str) -> Markup {
    html! {
        p {
            a href=(address("/events", &[("q", base)])) { (format::plural(activity.events, "event", "events")) }
            @if activity.refused > 0 {
                ", " a.alarm href=(address("/events", &[("q", &format!("{base} outcome:denied,failure"))])) { (format::plural(activity.refused, "denied or failed", "denied or failed")) }
            }
            @if let (Some(first), Some(last)) = (activity.first, activity.last) {
                span.q { ", " } (span_of(first, last))
            }
            span.q { "; flows and log lines are not counted here." }
        }
        @if activity.counted_from > activity.since {
            p.unsure.small { "There is more than a page can wait for: these are the newest, whole from " (activity.counted_from.to_string()[..19].replace('T', " ")) " UTC on." }
        }
        @if activity.claimed > 0 {
            p.unsure { (format::plural(activity.claimed, "more event names", "more events name")) " them in another way: a sender's claim the mesh contradicts, or a name that another device or person has. " a href=(address("/events", &[("q", claims)])) { "All of them" } }
        }
    }
}

fn span_of(first: Timestamp, last: Timestamp) -> Markup {
    let (first, last) = (first.to_string(), last.to_string());
    html! { time datetime=(first) { (first[..16].replace('T', " ")) } span.q { " to " } time datetime=(last) { (last[..16].replace('T', " ")) } span.q { " UTC" } }
}

/// The newest few sessions; `all` is the label of the link to all sessions of `base`.
pub(crate) fn sessions(sessions: &[SessionView], base: &str, all: &str, now: Timestamp) -> Markup {
    html! {
        @if !sessions.is_empty() {
            h2 { "Sessions" }
            table.list.few-sessions {
                thead { tr { th.c-state scope="col" { "State" } th.c-who scope="col" { "Who" } th.c-target scope="col" { "Target" } th.c-time scope="col" { "Started (UTC)" } th.c-length.r scope="col" { "Length" } th scope="col" { "What was run" } } }
                tbody {
                    @for view in sessions {
                        @let session = &view.session;
                        tr data-row {
                            td.at-state { (sessions_page::status_badge(&session.state)) }
                            td.at-who { (format::clipped(&format::actor_name(&session.actor).unwrap_or_else(|| "not known".to_owned()), 28)) }
                            td.at-target { (format::clipped(&session.target.label().unwrap_or_default(), 24)) @if let Some(account) = &session.target.account { span.q { " as " (format::clipped(account, 12)) } } }
                            td.at-time { (format::clock(session.started, now)) }
                            td.at-length.r.n { (format::hms(view.length(now))) }
                            td.at-run { a.open href=(under("/sessions", session.id.as_str())) { (sessions_page::command(session.command.as_deref())) } }
                        }
                    }
                }
            }
            p.small { a href=(address("/sessions", &[("q", base)])) { (all) } }
        }
    }
}

/// The newest few changes in the mesh.
pub(crate) fn changes(changes: &[(u64, Event)], term: &str, now: Timestamp) -> Markup {
    html! {
        @if !changes.is_empty() {
            h2 { "Changes in the mesh" }
            (rows(changes, now))
            p.small { a href=(address("/changes", &[("q", term)])) { "All of them" } }
        }
    }
}

/// The newest few events.
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
                        td.at-time { (format::clock(event.time, now)) }
                        td.at-who { (subject(event)) }
                        td.at-what { a.open href=(under("/events", &event.id.to_string())) { (sentence(event)) } }
                        td.at-index.r.n.q { (index) }
                    }
                }
            }
        }
    }
}

/// The actor of an event; a person as a link to their page.
pub(crate) fn subject(event: &Event) -> Markup {
    let actor = &event.actor;
    html! {
        @if format::is_own_action(event) { span.q { "Meshtrail" } }
        @else if let Some(person) = &actor.person { (super::components::person(&person.login, 28)) }
        @else if let Some(label) = format::actor_name(actor) { (format::clipped(&label, 28)) }
        @else if event.identity.is_empty() { span.q { "nobody named" } }
        @else { span.unsure { "not known" } }
    }
}

/// The conflict between providers, if any, and what each of them reports.
pub(crate) fn describe_conflict(conflict: Option<&str>, accounts: &[Account], now: Timestamp) -> Markup {
    html! {
        @if let Some(conflict) = conflict {
            h2 { "Sources disagree" }
            p.unsure.small { (format::untrusted(conflict)) }
        }
        @if accounts.len() > 1 {
            @if conflict.is_none() { h2 { "Who says what" } }
            dl {
                @for account in accounts {
                    dt { (format::untrusted(&account.by)) }
                    dd {
                        @match &account.whose { Some(whose) => (format::untrusted(whose)), None => span.unsure { "gone" } }
                        br; span.q { "as of " (format::clock(account.as_of, now)) " UTC" }
                    }
                }
            }
        }
    }
}

/// The state's provider and moment, and how the actors in the events are known.
pub(crate) fn describe_provenance(
    state: Option<(&str, Timestamp)>,
    activity: &Activity,
    now: Timestamp,
) -> Markup {
    html! {
        dl {
            @match state {
                Some((by, as_of)) => {
                    dt { "reported by" } dd { (format::untrusted(by)) }
                    dt { "as of" } dd { (moment(Some(as_of), "", now)) span.q { " UTC" } }
                }
                None => { dt { "reported by" } dd.unsure { "events alone" } }
            }
            @for (at, provider) in activity.known_by.top.iter().take(4).enumerate() {
                dt { @if at == 0 { "in events" } } dd { (format::clipped(&provider.value, 20)) span.q { ", in " (format::count(provider.events)) } }
            }
        }
    }
}
