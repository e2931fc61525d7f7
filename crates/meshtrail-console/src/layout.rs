//! The layout of every page (top bar, content, dialog of keys), and the fragments that several pages share.

use maud::{DOCTYPE, Markup, html};
use meshtrail_event::{Actor, Event, Identity, IdentityStatus, Target, Timestamp};

use super::assets::href;
use super::csp::{PAGE_CSP, PLAYER_PAGE_CSP};
use super::format;
use super::nav::Nav;
use super::page_filter::PageFilter;
use super::view::{PageViewer, TrailStatus};

/// A page as it is sent.
#[derive(Debug)]
pub struct Document {
    /// The whole page.
    pub html: String,
    /// The Content-Security-Policy to send with it.
    pub csp: &'static str,
}

/// The document around a page's content.
#[derive(Debug)]
pub struct Shell<'a> {
    /// The title, without the program's name.
    pub title: &'a str,
    /// The section.
    pub nav: Nav,
    /// The signed-in reader; `None` on pages for everybody.
    pub viewer: Option<&'a PageViewer>,
    /// The trail; `None` on pages for everybody.
    pub trail_status: Option<&'a TrailStatus>,
    /// Whether the page plays recordings and so needs the player.
    pub plays: bool,
    /// A notice on top of every page: that this server is a demo.
    pub banner: Option<&'a str>,
}

impl Shell<'_> {
    /// The page with `content`.
    pub fn document(&self, content: &Markup) -> Document {
        let csp = if self.plays { PLAYER_PAGE_CSP } else { PAGE_CSP };
        Document { html: self.html(content).into_string(), csp }
    }

    fn html(&self, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · meshtrail" }
                    link rel="icon" href=(href("mark.svg")) type="image/svg+xml";
                    link rel="stylesheet" href=(href("look.css"));
                    link rel="stylesheet" href=(href("parts.css"));
                    @if let Some(style) = self.nav.style() { link rel="stylesheet" href=(href(style)); }
                    script src=(href("theme.js")) {}
                    @if self.plays {
                        link rel="stylesheet" href=(href("vendor/asciinema-player.css"));
                        link rel="stylesheet" href=(href("replay.css"));
                        script src=(href("vendor/asciinema-player.min.js")) defer {}
                    }
                    script type="module" src=(href("console.js")) {}
                    @if let Some(script) = self.nav.script() { script type="module" src=(href(script)) {} }
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    @if let Some(banner) = self.banner { aside.banner aria-label="About this server" { (banner) } }
                    (self.bar())
                    main #content { (content) }
                    (keys_dialog(self.plays))
                }
            }
        }
    }

    fn bar(&self) -> Markup {
        html! {
            header.bar {
                a.mark href="/events" { "mesh" i { "·" } "trail" }
                // An error page within a section still shows the navigation; the viewer is not known there.
                @if self.viewer.is_some() || self.nav != Nav::None {
                    nav aria-label="Pages" {
                        @for (nav, path, name) in Nav::ENTRIES.into_iter().filter(|(nav, ..)| self.offers(*nav)) {
                            a href=(path) aria-current=[(self.nav == nav).then_some("page")] { (name) }
                        }
                    }
                }
                @if let Some(status) = self.trail_status { (self.trail_status_line(status)) }
                @if let Some(viewer) = self.viewer { (viewer_menu(viewer)) }
            }
        }
    }

    fn offers(&self, nav: Nav) -> bool {
        nav != Nav::Exports || self.nav == nav || self.viewer.is_some_and(|viewer| viewer.may_export)
    }

    /// The number of events comes from the server; the script puts a word into `#sound` once this browser has verified
    /// the trail.
    fn trail_status_line(&self, status: &TrailStatus) -> Markup {
        html! {
            span.sound {
                b #sound {}
                span.sound-count { (format::plural(status.events, "event", "events")) }
                @if let Some(at) = status.newest {
                    span.q { " · newest " time datetime=(at) data-ago { (format::ago(at, status.now)) } }
                }
            }
        }
    }
}

fn viewer_menu(viewer: &PageViewer) -> Markup {
    html! {
        details.me {
            summary { (format::clipped(&viewer.name, 28)) }
            div {
                p { (format::untrusted(&viewer.name)) br; span.q { (viewer.role) } }
                div.themes role="group" aria-label="Theme" hidden {
                    @for theme in ["auto", "light", "dark"] { button type="button" data-theme=(theme) { (theme) } }
                }
                p.menu { button type="button" data-keys hidden { "Keys " kbd { "?" } } }
                form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
            }
        }
    }
}

fn keys_dialog(plays: bool) -> Markup {
    let rows: &[(&[&str], &str)] = &[
        (&["/"], "ask: go to the filter"),
        (&["j", "k"], "next, previous row"),
        (&["Enter"], "open the row"),
        (&["Esc"], "leave the box, close this, go back"),
        (&["f"], "follow the live session, or new events"),
        (&["[", "]"], "earlier, later"),
        (&["?"], "this sheet"),
    ];
    let replay: &[(&[&str], &str)] = &[
        (&["Space"], "play, pause"),
        (&["←", "→"], "5 seconds back, on"),
        (&["<", ">"], "slower, faster"),
        (&["0", "…", "9"], "to 0 % … 90 %"),
    ];
    let lines = |rows: &[(&[&str], &str)]| {
        html! { @for (keys, meaning) in rows { dt { @for key in *keys { kbd { (key) } " " } } dd { (meaning) } } }
    };
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl { (lines(rows)) @if plays { (lines(replay)) } }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// The actor of an event in one line; `Meshtrail` for its own actions, which have no actor.
pub(crate) fn event_actor(event: &Event, filter: &PageFilter) -> Markup {
    if format::is_own_action(event) {
        return html! { span.q { "Meshtrail" } };
    }
    actor_line(&event.actor, &event.identity, filter)
}

/// An actor in one line: person or tags, the device, and any doubt about the identity.
pub(crate) fn actor_line(actor: &Actor, identity: &Identity, filter: &PageFilter) -> Markup {
    let doubt = doubt(identity);
    html! {
        @match actor.label() {
            None => span.unsure { "not known" },
            Some(_) if !actor.tags.is_empty() && actor.person.is_none() => { (tags(&actor.tags, 1, filter)) }
            Some(label) => { span.unsure[doubt.is_some()] { (filter.value_links("actor", &label, &format::clipped(&label, 34))) } }
        }
        @if let Some(doubt) = &doubt { " " span.unsure.why title=[identity.reason.as_deref()] { (doubt) } }
        @if let Some(device) = format::actor_device(actor) { " " span.q { "on " (format::clipped(device, 24)) } }
    }
}

/// The first `most` tags, and the number of others with their names as its title.
pub(crate) fn tags(all: &[String], most: usize, filter: &PageFilter) -> Markup {
    let (shown, rest) = all.split_at(most.min(all.len()));
    html! {
        @for tag in shown { span.tag { (filter.value_links("actor", tag, &format::clipped(tag, 24))) } " " }
        @if !rest.is_empty() { span.q title=(rest.join(" ")) { "+" (rest.len()) } }
    }
}

/// All tags; those after the first few are folded.
fn all_tags(all: &[String], filter: &PageFilter) -> Markup {
    let (first, rest) = all.split_at(all.len().min(6));
    html! {
        (tags(first, first.len(), filter))
        @if !rest.is_empty() { details { summary { (rest.len()) " more" } (tags(rest, rest.len(), filter)) } }
    }
}

/// The doubt about an identity in a few words, if any.
pub(crate) fn doubt(identity: &Identity) -> Option<String> {
    let claimed = identity.claimed.as_ref().and_then(|claim| claim.login.as_deref());
    match (&identity.status, claimed) {
        (IdentityStatus::Conflicting, Some(login)) => {
            Some(format!("claims {}", meshtrail_event::text::shorten(login, 30)))
        }
        (IdentityStatus::Conflicting, None) => Some("conflicting".to_owned()),
        (IdentityStatus::SelfReported, _) => Some("self-reported".to_owned()),
        (IdentityStatus::Unresolved, _) if !identity.is_empty() => Some("unresolved".to_owned()),
        _ => None,
    }
}

/// A target in one line.
pub(crate) fn target_line(target: &Target, filter: &PageFilter) -> Markup {
    html! {
        @match target.label() {
            None => span.unsure { "not known" },
            Some(label) => { (filter.value_links("target", &label, &format::clipped(&label, 28))) }
        }
        @if let Some(account) = &target.account { " " span.q { "as " (format::clipped(account, 16)) } }
        @if let Some(container) = &target.container { " " span.q { "in " (format::clipped(container, 16)) } }
    }
}

/// The note below a proof line that the browser has not verified yet, with the command that verifies by hand.
pub(crate) fn verify_hint(id: &str) -> Markup {
    let command = format!("meshtrail verify {id}");
    html! {
        p.q {
            "This turns green only once this browser has computed it. By hand: "
            code.copy data-copy=(command) { (command) }
        }
    }
}

/// Links to the newest and the next older page of a list, or a note at its end.
pub(crate) fn pager(filter: &PageFilter, paging: &super::view::Paging) -> Markup {
    html! {
        nav.pager aria-label="Pages of this list" {
            @if paging.inside { a rel="prev" href=(filter.with_state(&filter.state)) { "newest" } }
            @match &paging.next {
                Some(cursor) => { a rel="next" href=(filter.at_cursor(cursor)) { "older" } }
                None => { span.q { "That is all there is." } }
            }
        }
    }
}

/// The content of an empty list: what is missing, and the command that would fill it.
pub(crate) fn empty(title: &str, text: &str, command: Option<&str>) -> Markup {
    html! {
        section.empty data-live-empty {
            h2 { (title) }
            p { (text) }
            @if let Some(command) = command { pre.command { code.copy data-copy=(command) { (command) } } }
        }
    }
}

/// Person, device and identity status, as lines of a definition list.
pub(crate) fn identity_lines(
    actor: &Actor,
    identity: &Identity,
    filter: &PageFilter,
    now: Timestamp,
) -> Markup {
    html! {
        @if let Some(person) = &actor.person {
            dt { "person" }
            dd {
                (filter.value_links("actor", &person.login, &format::untrusted(&person.login)))
                @if let Some(name) = &person.name { " " span.q { (format::untrusted(name)) } }
                br; a.small href=(super::page_filter::under("/people", &person.login)) { "all about them" }
            }
            @if !person.groups.is_empty() { dt { "groups" } dd { (format::untrusted(&person.groups.join(", "))) } }
        }
        @if let Some(service) = &actor.service { dt { "service" } dd { (filter.value_links("actor", service, &format::untrusted(service))) } }
        @if !actor.tags.is_empty() { dt { "tags" } dd.tags { (all_tags(&actor.tags, filter)) } }
        @if actor.is_empty() { dt { "person" } dd.unsure { "not known" } }
        @if let Some(device) = &actor.device {
            dt { "device" }
            dd {
                @let name = format::untrusted(device.name.as_deref().or(device.id.as_deref()).unwrap_or("without a name"));
                @match &device.id {
                    Some(id) => a href=(super::page_filter::under("/devices", id)) { (name) },
                    None => (name),
                }
                @if let Some(os) = &device.os { " " span.q { (format::untrusted(os)) } }
            }
            @if !device.addresses.is_empty() {
                dt { "address" }
                dd { @for address in &device.addresses { code { (format::untrusted(address)) } br; } }
            }
        }
        @if let Some(likely) = &identity.likely {
            dt { "likely" }
            dd.unsure {
                (format::untrusted(&likely.person.login))
                br; span.small { "a guess: " (format::untrusted(&likely.reason)) }
            }
        }
        dt { "how known" } dd { (identity_status(identity, now)) }
        @if let Some(claim) = &identity.claimed {
            dt { "claimed" }
            dd.unsure {
                (format::untrusted(claim.login.as_deref().unwrap_or(&claim.tags.join(", "))))
                @if let Some(node) = &claim.node { " on " (format::untrusted(node)) }
            }
        }
    }
}

fn identity_status(identity: &Identity, now: Timestamp) -> Markup {
    let provider = match identity.provider.as_deref() {
        Some("localapi") => "by the tailnet".to_owned(),
        Some("directory") => "by the directory file".to_owned(),
        Some("header") => "by the sender only".to_owned(),
        Some("token") => "by an API token".to_owned(),
        Some("tailscale") => "by Tailscale".to_owned(),
        Some("headscale") => "by Headscale".to_owned(),
        Some("local") => "by this server".to_owned(),
        Some(other) => format!("by {}", meshtrail_event::text::shorten(other, 24)),
        None => String::new(),
    };
    html! {
        @match &identity.status {
            IdentityStatus::Resolved => { span { "resolved " (format::untrusted(&provider)) } }
            IdentityStatus::SelfReported => { span.unsure { "self-reported: nobody but the sender says so" } }
            IdentityStatus::Conflicting => {
                span.unsure { "conflicting: the sender says one thing, " (format::untrusted(provider.trim_start_matches("by "))) " another" }
            }
            IdentityStatus::Unresolved => { span.unsure { "unresolved: nobody knew at that time" } }
            IdentityStatus::Other(word) => { span.unsure { (format::untrusted(word)) } }
        }
        @if let Some(as_of) = identity.as_of { " " span.q { "as of " (format::clock(as_of, now)) " UTC" } }
        @if let Some(reason) = &identity.reason { br; span.unsure { (format::untrusted(reason)) } }
    }
}
