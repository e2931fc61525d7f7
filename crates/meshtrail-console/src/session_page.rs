//! The page of one session: replay, actor and identity status, what is not in the recording, and proof.

use maud::{Markup, html};
use meshtrail_api::sessions::SessionState;
use meshtrail_event::Timestamp;

use super::format;
use super::layout::{identity_lines, target_line, verify_hint};
use super::page_filter::{PageFilter, address, under};
use super::sentence::sentence;
use super::sessions_page::{command, status_badge};
use super::view::{EventView, PageViewer, SessionView};

/// The content of the page.
pub struct SessionPage<'a> {
    /// The session.
    pub view: &'a SessionView,
    /// Events of the session, oldest first, without marks.
    pub events: &'a [EventView],
    /// The reader, whose capabilities the page depends on.
    pub viewer: &'a PageViewer,
    /// When the page is made.
    pub now: Timestamp,
}

impl SessionPage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        html! {
            div.with-side {
                section.main { (self.heading()) (self.replay()) (self.proof()) }
                aside { (self.actions()) (self.who()) (self.recording()) (self.not_seen()) (self.session_events()) }
            }
            @if self.is_live() && self.viewer.may_kill { (self.kill_dialog()) }
        }
    }

    fn is_live(&self) -> bool {
        self.view.session.state == SessionState::Live
    }

    /// The page's title.
    pub fn title(&self) -> String {
        let who = format::actor_name(&self.view.session.actor).unwrap_or_else(|| "somebody".to_owned());
        let target = self.view.session.target.label().unwrap_or_else(|| "a target".to_owned());
        format!(
            "{} → {}",
            meshtrail_event::text::shorten(&who, 40),
            meshtrail_event::text::shorten(&target, 40)
        )
    }

    fn heading(&self) -> Markup {
        let session = &self.view.session;
        html! {
            p.crumb { a href="/sessions" data-back { "Sessions" } " / " (format::identifier(session.id.as_str(), 40)) }
            h1 {
                (name_or(format::actor_name(&session.actor), "somebody not known"))
                " → "
                (name_or(session.target.label(), "a target not known"))
                @if let Some(account) = &session.target.account {
                    span.as { " as " (format::clipped(account, 24)) }
                }
            }
            p.when {
                (status_badge(&session.state)) " · " (format::clock(session.started, self.now))
                @if let Some(ended) = session.ended { " to " (format::time_of_day(ended, self.now)) }
                span.q { " UTC" } " · "
                span data-since=[self.is_live().then_some(session.started)] { (format::hms(self.view.length(self.now))) }
            }
            p.run { @if session.command.as_deref().is_none_or(|command| command.trim().is_empty()) { span.q { "an interactive shell" } } @else { (command(session.command.as_deref())) } }
            @if let Some(reason) = &session.reason { p.unsure { (format::untrusted(reason)) } }
            @if let Some(from) = &session.imported_from {
                p.unsure {
                    "Imported from " (format::untrusted(from)) ": not witnessed here while it happened. What is proven is that "
                    "these bytes have not changed since they were taken in."
                }
            }
        }
    }

    /// The player's stage. Nothing is fetched before the reader starts it, since viewing a recording is an event.
    fn replay(&self) -> Markup {
        let session = &self.view.session;
        let live = self.is_live();
        html! {
            div.stage data-session=(session.id.as_str()) data-state=(session.state.as_str()) data-bytes=(session.bytes) {
                @if !self.viewer.may_replay {
                    div.cover {
                        p {
                            "Your role, " (self.viewer.role) ", may see that this session happened, "
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
        let session = &self.view.session;
        html! {
            section.proof data-proof="session" data-session=(session.id.as_str()) {
                p.head { b { "Not checked yet" } span { (self.proof_state()) } }
                (verify_hint(session.id.as_str()))
            }
        }
    }

    fn proof_state(&self) -> String {
        let session = &self.view.session;
        if session.event.is_none() {
            return "still running: each stretch is bound into the trail as it comes, the whole at its end"
                .to_owned();
        }
        let bytes = format::plural(session.bytes, "byte", "bytes");
        let intake = if session.imported_from.is_some() { "imported" } else { "received" };
        let place = self.view.index.map(|index| format!(" at index {}", format::count(index)));
        format!("{bytes} as {intake}, closed in the trail{}", place.unwrap_or_default())
    }

    fn actions(&self) -> Markup {
        let session = &self.view.session;
        let api = under("/api/v1/sessions", session.id.as_str());
        let live = self.is_live();
        if !(self.viewer.may_export || live && self.viewer.may_kill) {
            return html! {};
        }
        html! {
            p.acts {
                @if self.viewer.may_export && !live {
                    a.button href={ (api) "/pack" } download={ (session.id.as_str()) ".html" } { "Evidence pack" }
                    a.button href={ (api) "/recording" } download={ (session.id.as_str()) ".cast" } { "Recording" }
                }
                @if live && self.viewer.may_kill { button.danger type="button" data-open="kill" { "End session" } }
            }
            @if self.viewer.may_export && !live {
                p.q.small { "Each download is recorded. The pack replays and proves itself without this server." }
            }
        }
    }

    fn who(&self) -> Markup {
        let session = &self.view.session;
        let filter = PageFilter::new("/sessions", "");
        html! {
            h2 { "Who" }
            dl { (identity_lines(&session.actor, &session.identity, &filter, self.now)) }
            h2 { "Where" }
            dl {
                dt { "target" } dd { (target_line(&session.target, &filter)) }
                @if let Some(user) = &session.ssh_user { dt { "asked for" } dd { (format::untrusted(user)) } }
                @if let Some(by) = &session.recorded_by { dt { "recorded by" } dd { (format::untrusted(by)) } }
            }
        }
    }

    fn recording(&self) -> Markup {
        let session = &self.view.session;
        html! {
            h2 { "Recording" }
            dl {
                dt { "size" } dd { span.n { (format::count(session.bytes)) } " bytes" }
                @if let (Some(width), Some(height)) = (session.width, session.height) {
                    dt { "terminal" }
                    dd.n { (width) " × " (height) }
                }
                @if let Some(sha256) = &session.sha256 { dt { "sha256" } dd { (format::identifier(sha256, 20)) } }
                @for anomaly in &session.anomalies { dt { "odd" } dd.unsure { (format::untrusted(anomaly)) } }
            }
        }
    }

    fn not_seen(&self) -> Markup {
        html! {
            h2 { "What is not in it" }
            @if self.view.session.not_seen.is_empty() {
                p.small { "Keystrokes: never recorded." }
            } @else {
                ul.plain { @for gap in &self.view.session.not_seen { li { (format::untrusted(gap)) } } }
            }
        }
    }

    fn session_events(&self) -> Markup {
        let all =
            address("/events", &[("q", &meshtrail_query::term("session", self.view.session.id.as_str()))]);
        html! {
            h2 { "In the trail (UTC)" }
            @if self.events.is_empty() { p.small.q { "No events of this session yet." } }
            ol.beside {
                @for each in self.events {
                    li {
                        a href=(under("/events", &each.event.id.to_string())) {
                            (format::time_of_day(each.event.time, self.now)) " "
                            span { (own_action_actor(each)) (sentence(&each.event)) }
                        }
                    }
                }
            }
            p.small { a href=(all) { "all events of this session" } }
        }
    }

    fn kill_dialog(&self) -> Markup {
        let session = &self.view.session;
        let who = format::actor_name(&session.actor).unwrap_or_else(|| "whoever this is".to_owned());
        let target = session.target.label().unwrap_or_else(|| "the target".to_owned());
        html! {
            dialog #kill aria-labelledby="kill-title" {
                form data-kill=(session.id.as_str()) {
                    h2 #kill-title { "End this session" }
                    p {
                        "This stops the recording with an error. Where the policy enforces recording, "
                        b { (format::clipped(&who, 40)) } " is disconnected from " b { (format::clipped(&target, 40)) }
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

/// A name, or `otherwise` where there is none.
fn name_or(label: Option<String>, otherwise: &str) -> Markup {
    match label {
        Some(label) => format::clipped(&label, 48),
        None => html! { span.unsure { (otherwise) } },
    }
}

/// The actor of Meshtrail's own events, who is not the session's: somebody viewed the session, or ended it.
fn own_action_actor(each: &EventView) -> Markup {
    let own = each.event.kind.as_str().starts_with("meshtrail.");
    match format::actor_name(&each.event.actor).filter(|_| own) {
        Some(who) => html! { (format::clipped(&who, 30)) " " },
        None => html! {},
    }
}
