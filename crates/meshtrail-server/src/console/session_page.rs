//! One session: its replay, who it was and how that is known, what is not in it, and its proof.

use maud::{Markup, html};
use meshtrail_event::Timestamp;

use super::ask::{Ask, address, under};
use super::layout::{by_hand, identity_lines, what};
use super::sentence::sentence;
use super::sessions_page::{run, state};
use super::view::{EventView, Looker, SessionView, State};
use super::words;

/// What the page shows.
pub(crate) struct SessionPage<'a> {
    pub(crate) session: &'a SessionView,
    /// Events of the same session, oldest first, marks left out.
    pub(crate) beside: &'a [EventView],
    pub(crate) looker: &'a Looker,
    pub(crate) now: Timestamp,
}

impl SessionPage<'_> {
    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        html! {
            div.with-side {
                section.main { (self.heading()) (self.replay()) (self.proof()) }
                aside { (self.acts()) (self.who()) (self.recording()) (self.not_seen()) (self.beside()) }
            }
            @if self.session.state == State::Live && self.looker.may_kill { (self.kill_dialog()) }
        }
    }

    /// The page's title.
    pub(crate) fn title(&self) -> String {
        let who = words::name_of(&self.session.actor).unwrap_or_else(|| "somebody".to_owned());
        let target = self.session.target.label().unwrap_or_else(|| "a target".to_owned());
        format!(
            "{} → {}",
            meshtrail_event::text::shortened(&who, 40),
            meshtrail_event::text::shortened(&target, 40)
        )
    }

    fn heading(&self) -> Markup {
        let session = self.session;
        html! {
            p.crumb { a href="/sessions" data-back { "Sessions" } " / " (words::identifier(session.id.as_str(), 40)) }
            h1 {
                (named(words::name_of(&session.actor), "somebody not known"))
                " → "
                (named(session.target.label(), "a target not known"))
                @if let Some(account) = &session.target.account {
                    span.as { " as " (words::clipped(account, 24)) }
                }
            }
            p.when {
                (state(session.state)) " · " (words::clock(session.started, self.now))
                @if let Some(ended) = session.ended { " to " (words::time_of_day(ended, self.now)) }
                span.q { " UTC" } " · "
                span data-since=[(session.state == State::Live).then_some(session.started)] { (words::length(session.length(self.now))) }
            }
            p.run { @if session.command.as_deref().is_none_or(|command| command.trim().is_empty()) { span.q { "an interactive shell" } } @else { (run(session)) } }
            @if let Some(reason) = &session.reason { p.unsure { (words::foreign(reason)) } }
            @if let Some(from) = &session.imported_from {
                p.unsure {
                    "Imported from " (words::foreign(from)) ": not witnessed here while it happened. What is proven is that "
                    "these bytes have not changed since they were taken in."
                }
            }
        }
    }

    /// The stage: nothing is fetched until the reader asks, since looking is an event.
    fn replay(&self) -> Markup {
        let session = self.session;
        let live = session.state == State::Live;
        html! {
            div.stage data-session=(session.id.as_str()) data-state=(session.state.word()) data-bytes=(session.bytes) {
                @if !self.looker.may_replay {
                    div.cover {
                        p {
                            "Your role, " (self.looker.role) ", may see that this session happened, "
                            "not what was on the screen."
                        }
                        p.dim { "The role auditor may." }
                    }
                } @else if session.bytes == 0 && !live {
                    div.cover { p { "Nothing was received: there is nothing to play." } }
                } @else {
                    div.cover {
                        button.play type="button" data-play data-follow[live] { (if live { "Watch live" } else { "Play" }) }
                        p.dim { "Watching is recorded in the trail as a view by you." }
                        noscript {
                            p { "Playing needs scripts. Without them:" }
                            pre { "meshtrail sessions play " (session.id.as_str()) }
                        }
                    }
                }
            }
        }
    }

    fn proof(&self) -> Markup {
        let session = self.session;
        html! {
            section.proof data-proof="session" data-session=(session.id.as_str()) {
                p.head { b { "Not checked yet" } span { (self.proof_state()) } }
                (by_hand(session.id.as_str()))
            }
        }
    }

    fn proof_state(&self) -> String {
        match &self.session.proven_by {
            Some((_, Some(index))) => format!(
                "{} as {}, closed in the trail at index {}",
                words::counted(self.session.bytes, "byte", "bytes"),
                self.came(),
                words::count(*index)
            ),
            Some((_, None)) => format!(
                "{} as {}, closed in the trail",
                words::counted(self.session.bytes, "byte", "bytes"),
                self.came()
            ),
            None => "still running: each stretch is bound into the trail as it comes, the whole at its end"
                .to_owned(),
        }
    }

    /// How the bytes came here.
    fn came(&self) -> &'static str {
        if self.session.imported_from.is_some() { "imported" } else { "received" }
    }

    fn acts(&self) -> Markup {
        let session = self.session;
        let api = under("/api/v1/sessions", session.id.as_str());
        let live = session.state == State::Live;
        if !(self.looker.may_export || live && self.looker.may_kill) {
            return html! {};
        }
        html! {
            p.acts {
                @if self.looker.may_export && !live {
                    a.button href={ (api) "/pack" } download={ (session.id.as_str()) ".html" } { "Evidence pack" }
                    a.button href={ (api) "/recording" } download={ (session.id.as_str()) ".cast" } { "Recording" }
                }
                @if live && self.looker.may_kill { button.danger type="button" data-open="kill" { "End session" } }
            }
            @if self.looker.may_export && !live {
                p.q.small { "Each download is recorded. The pack replays and proves itself without this server." }
            }
        }
    }

    fn who(&self) -> Markup {
        let session = self.session;
        let ask = Ask::new("/sessions", "");
        html! {
            h2 { "Who" }
            dl { (identity_lines(&session.actor, &session.identity, &ask, self.now)) }
            h2 { "Where" }
            dl {
                dt { "target" } dd { (what(&session.target, &ask)) }
                @if let Some(user) = &session.requested_user { dt { "asked for" } dd { (words::foreign(user)) } }
                @if let Some(by) = &session.recorded_by { dt { "recorded by" } dd { (words::foreign(by)) } }
            }
        }
    }

    fn recording(&self) -> Markup {
        let session = self.session;
        html! {
            h2 { "Recording" }
            dl {
                dt { "size" } dd { span.n { (words::count(session.bytes)) } " bytes" }
                @if let (Some(width), Some(height)) = (session.width, session.height) {
                    dt { "terminal" }
                    dd.n { (width) " × " (height) }
                }
                @if let Some(sha256) = &session.sha256 { dt { "sha256" } dd { (words::identifier(sha256, 20)) } }
                @for anomaly in &session.anomalies { dt { "odd" } dd.unsure { (words::foreign(anomaly)) } }
            }
        }
    }

    fn not_seen(&self) -> Markup {
        html! {
            h2 { "What is not in it" }
            @if self.session.not_seen.is_empty() {
                p.small { "Keystrokes: never recorded." }
            } @else {
                ul.plain { @for gap in &self.session.not_seen { li { (words::foreign(gap)) } } }
            }
        }
    }

    fn beside(&self) -> Markup {
        let all = address("/events", &[("q", &super::ask::term("session", self.session.id.as_str()))]);
        html! {
            h2 { "In the trail (UTC)" }
            @if self.beside.is_empty() { p.small.q { "No events of this session yet." } }
            ol.beside {
                @for each in self.beside {
                    li {
                        a href=(under("/events", &each.event.id.to_string())) {
                            (words::time_of_day(each.event.time, self.now)) " "
                            span { (looked(each)) (sentence(&each.event)) }
                        }
                    }
                }
            }
            p.small { a href=(all) { "all events of this session" } }
        }
    }

    fn kill_dialog(&self) -> Markup {
        let session = self.session;
        let who = words::name_of(&session.actor).unwrap_or_else(|| "whoever this is".to_owned());
        let target = session.target.label().unwrap_or_else(|| "the target".to_owned());
        html! {
            dialog #kill aria-labelledby="kill-title" {
                form data-kill=(session.id.as_str()) {
                    h2 #kill-title { "End this session" }
                    p {
                        "This stops the recording with an error. Where the policy enforces recording, "
                        b { (words::clipped(&who, 40)) } " is disconnected from " b { (words::clipped(&target, 40)) }
                        " at once, and what runs there is hung up. Where it does not, the session goes on unrecorded."
                    }
                    label {
                        "Reason " span.q { "(kept in the trail with your name)" }
                        textarea name="reason" required rows="2" maxlength="500" {}
                    }
                    label {
                        "Message " span.q { "(for the node's log; they see your SSH policy's own)" }
                        input name="message" maxlength="200" value="This session was ended by an administrator.";
                    }
                    p.result role="status" {}
                    p.acts { button.danger type="submit" { "End session" } button type="button" data-close { "Cancel" } }
                }
            }
        }
    }
}

/// A name, or in amber that there is none.
fn named(label: Option<String>, otherwise: &str) -> Markup {
    match label {
        Some(label) => words::clipped(&label, 48),
        None => html! { span.unsure { (otherwise) } },
    }
}

/// Who it was, where that is not whom the session is about: somebody looked at it, or ended it.
fn looked(each: &EventView) -> Markup {
    let own = each.event.kind.as_str().starts_with("meshtrail.");
    match words::name_of(&each.event.actor).filter(|_| own) {
        Some(who) => html! { (words::clipped(&who, 30)) " " },
        None => html! {},
    }
}
