//! What every page has: the bar on top, the search box, the sheet of keys; and the shapes pages share.

use maud::{DOCTYPE, Markup, html};
use meshtrail_event::{Actor, Event, Identity, IdentityStatus, Target, Timestamp};

use super::ask::Ask;
use super::assets::href;
use super::view::{Looker, Sound};
use super::words;

/// The page's place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nav {
    Timeline,
    Sessions,
    Network,
    People,
    Devices,
    Changes,
    Sources,
    Exports,
    /// Sign-in, and errors of no place.
    None,
}

impl Nav {
    /// The bar's entries, in their order: where each leads, and what it is called.
    const ENTRIES: [(Nav, &'static str, &'static str); 8] = [
        (Nav::Timeline, "/events", "Timeline"),
        (Nav::Sessions, "/sessions", "Sessions"),
        (Nav::Network, "/network", "Network"),
        (Nav::People, "/people", "People"),
        (Nav::Devices, "/devices", "Devices"),
        (Nav::Changes, "/changes", "Changes"),
        (Nav::Sources, "/sources", "Sources"),
        (Nav::Exports, "/exports", "Exports"),
    ];

    /// The place that a path belongs to.
    pub(crate) fn of_path(path: &str) -> Nav {
        let within = |entry: &str| {
            path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Nav::ENTRIES.iter().find(|(_, entry, _)| within(entry)).map_or(Nav::None, |(nav, ..)| *nav)
    }

    /// The list of this place, and what it is called.
    pub(crate) fn list(self) -> Option<(&'static str, &'static str)> {
        Nav::ENTRIES.iter().find(|(nav, ..)| *nav == self).map(|(_, path, name)| (*path, *name))
    }

    /// The styles that only this part of the console needs.
    fn style(self) -> Option<&'static str> {
        match self {
            Nav::Timeline => Some("timeline.css"),
            Nav::Network | Nav::People | Nav::Devices | Nav::Changes | Nav::Sources | Nav::Exports => {
                Some("pages.css")
            }
            Nav::Sessions | Nav::None => None,
        }
    }

    /// The script that only this part needs.
    fn script(self) -> Option<&'static str> {
        match self {
            Nav::Timeline => Some("timeline.js"),
            Nav::Network | Nav::People | Nav::Devices | Nav::Changes | Nav::Sources | Nav::Exports => {
                Some("pages.js")
            }
            Nav::Sessions | Nav::None => None,
        }
    }
}

/// What surrounds a page's own content.
pub(crate) struct Shell<'a> {
    pub(crate) title: &'a str,
    pub(crate) nav: Nav,
    pub(crate) looker: Option<&'a Looker>,
    pub(crate) sound: Option<&'a Sound>,
    pub(crate) now: Timestamp,
    /// Whether the page plays recordings and so needs the player.
    pub(crate) plays: bool,
    /// What every page says on top: that this is a demo.
    pub(crate) banner: Option<&'a str>,
}

impl Shell<'_> {
    /// The whole document.
    pub(crate) fn page(&self, content: &Markup) -> Markup {
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
                    (keys(self.plays))
                }
            }
        }
    }

    fn bar(&self) -> Markup {
        html! {
            header.bar {
                a.mark href="/events" { "mesh" i { "·" } "trail" }
                // What went wrong at a place still shows the way to the others; who looks is not known there.
                @if self.looker.is_some() || self.nav != Nav::None {
                    nav aria-label="Pages" {
                        @for (nav, path, name) in Nav::ENTRIES.into_iter().filter(|(nav, ..)| self.offers(*nav)) {
                            a href=(path) aria-current=[(self.nav == nav).then_some("page")] { (name) }
                        }
                    }
                }
                @if let Some(sound) = self.sound { (self.soundness(sound)) }
                @if let Some(looker) = self.looker { (whoami(looker)) }
            }
        }
    }

    fn offers(&self, nav: Nav) -> bool {
        nav != Nav::Exports || self.nav == nav || self.looker.is_some_and(|looker| looker.may_export)
    }

    /// Counts are the server's word; the word "sound" is put there by this browser once it has checked.
    fn soundness(&self, sound: &Sound) -> Markup {
        html! {
            span.sound {
                b #sound {}
                span.sound-count { (words::counted(sound.events, "event", "events")) }
                @if let Some(at) = sound.newest {
                    span.q { " · newest " time datetime=(at) data-ago { (words::ago(at, self.now)) } }
                }
            }
        }
    }
}

fn whoami(looker: &Looker) -> Markup {
    html! {
        details.me {
            summary { (words::clipped(&looker.name, 28)) }
            div {
                p { (words::foreign(&looker.name)) br; span.q { (looker.role) } }
                div.themes role="group" aria-label="Theme" hidden {
                    @for theme in ["auto", "light", "dark"] { button type="button" data-theme=(theme) { (theme) } }
                }
                p.menu { button type="button" data-keys hidden { "Keys " kbd { "?" } } }
                form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
            }
        }
    }
}

fn keys(plays: bool) -> Markup {
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

/// Whoever is behind an event, in one line. What Meshtrail does by itself has no actor, and no doubt about it.
pub(crate) fn who_did(event: &Event, ask: &Ask) -> Markup {
    if words::by_itself(event) {
        return html! { span.q { "Meshtrail" } };
    }
    who(&event.actor, &event.identity, ask)
}

/// Whoever acted, in one line: person or tags, and the device, with doubt said in amber.
pub(crate) fn who(actor: &Actor, identity: &Identity, ask: &Ask) -> Markup {
    let doubt = doubt(identity);
    html! {
        @match actor.label() {
            None => span.unsure { "not known" },
            Some(_) if !actor.tags.is_empty() && actor.person.is_none() => { (tags(&actor.tags, 1, ask)) }
            Some(label) => { span.unsure[doubt.is_some()] { (ask.value("actor", &label, &words::clipped(&label, 34))) } }
        }
        @if let Some(doubt) = &doubt { " " span.unsure.why title=[identity.reason.as_deref()] { (doubt) } }
        @if let Some(device) = words::on_device(actor) { " " span.q { "on " (words::clipped(device, 24)) } }
    }
}

/// Tags, the first `most` of them; the rest are counted, and named in the count's title.
pub(crate) fn tags(all: &[String], most: usize, ask: &Ask) -> Markup {
    let (shown, rest) = all.split_at(most.min(all.len()));
    html! {
        @for tag in shown { span.tag { (ask.value("actor", tag, &words::clipped(tag, 24))) } " " }
        @if !rest.is_empty() { span.q title=(rest.join(" ")) { "+" (rest.len()) } }
    }
}

/// Every tag; those past the first few are folded away.
fn all_tags(all: &[String], ask: &Ask) -> Markup {
    let (first, rest) = all.split_at(all.len().min(6));
    html! {
        (tags(first, first.len(), ask))
        @if !rest.is_empty() { details { summary { (rest.len()) " more" } (tags(rest, rest.len(), ask)) } }
    }
}

/// The doubt about who it was, if there is doubt, in the fewest words.
pub(crate) fn doubt(identity: &Identity) -> Option<String> {
    let claimed = identity.claimed.as_ref().and_then(|claim| claim.login.as_deref());
    match (&identity.status, claimed) {
        (IdentityStatus::Conflicting, Some(login)) => {
            Some(format!("claims {}", meshtrail_event::text::shortened(login, 30)))
        }
        (IdentityStatus::Conflicting, None) => Some("conflicting".to_owned()),
        (IdentityStatus::SelfReported, _) => Some("self-reported".to_owned()),
        (IdentityStatus::Unresolved, _) if !identity.is_empty() => Some("unresolved".to_owned()),
        _ => None,
    }
}

/// What was acted on, in one line.
pub(crate) fn what(target: &Target, ask: &Ask) -> Markup {
    html! {
        @match target.label() {
            None => span.unsure { "not known" },
            Some(label) => { (ask.value("target", &label, &words::clipped(&label, 28))) }
        }
        @if let Some(account) = &target.account { " " span.q { "as " (words::clipped(account, 16)) } }
        @if let Some(container) = &target.container { " " span.q { "in " (words::clipped(container, 16)) } }
    }
}

/// The note below a proof line that nothing was computed for yet.
pub(crate) fn by_hand(id: &str) -> Markup {
    let command = format!("meshtrail verify {id}");
    html! {
        p.q {
            "This turns green only once this browser has computed it. By hand: "
            code.copy data-copy=(command) { (command) }
        }
    }
}

/// Links to the pages of a list: newest and older, or where the list ends.
pub(crate) fn pager(ask: &Ask, paging: &super::view::Paging) -> Markup {
    html! {
        nav.pager aria-label="Pages of this list" {
            @if paging.inside { a rel="prev" href=(ask.in_state(&ask.state)) { "newest" } }
            @match &paging.next {
                Some(cursor) => { a rel="next" href=(ask.page(cursor)) { "older" } }
                None => { span.q { "That is all there is." } }
            }
        }
    }
}

/// Says what is missing, and the command that would fill it.
pub(crate) fn empty(title: &str, text: &str, command: Option<&str>) -> Markup {
    html! {
        section.empty data-live-empty {
            h2 { (title) }
            p { (text) }
            @if let Some(command) = command { pre.command { code.copy data-copy=(command) { (command) } } }
        }
    }
}

/// Person, device and how both are known, as the lines of a list of terms.
pub(crate) fn identity_lines(actor: &Actor, identity: &Identity, ask: &Ask, now: Timestamp) -> Markup {
    html! {
        @if let Some(person) = &actor.person {
            dt { "person" }
            dd {
                (ask.value("actor", &person.login, &words::foreign(&person.login)))
                @if let Some(name) = &person.name { " " span.q { (words::foreign(name)) } }
                br; a.small href=(super::ask::under("/people", &person.login)) { "all about them" }
            }
            @if !person.groups.is_empty() { dt { "groups" } dd { (words::foreign(&person.groups.join(", "))) } }
        }
        @if let Some(service) = &actor.service { dt { "service" } dd { (ask.value("actor", service, &words::foreign(service))) } }
        @if !actor.tags.is_empty() { dt { "tags" } dd.tags { (all_tags(&actor.tags, ask)) } }
        @if actor.is_empty() { dt { "person" } dd.unsure { "not known" } }
        @if let Some(device) = &actor.device {
            dt { "device" }
            dd {
                @let name = words::foreign(device.name.as_deref().or(device.id.as_deref()).unwrap_or("without a name"));
                @match &device.id {
                    Some(id) => a href=(super::ask::under("/devices", id)) { (name) },
                    None => (name),
                }
                @if let Some(os) = &device.os { " " span.q { (words::foreign(os)) } }
            }
            @if !device.addresses.is_empty() {
                dt { "address" }
                dd { @for address in &device.addresses { code { (words::foreign(address)) } br; } }
            }
        }
        dt { "how known" } dd { (how_known(identity, now)) }
        @if let Some(claim) = &identity.claimed {
            dt { "claimed" }
            dd.unsure {
                (words::foreign(claim.login.as_deref().unwrap_or(&claim.tags.join(", "))))
                @if let Some(node) = &claim.node { " on " (words::foreign(node)) }
            }
        }
    }
}

fn how_known(identity: &Identity, now: Timestamp) -> Markup {
    let provider = match identity.provider.as_deref() {
        Some("localapi") => "by the tailnet".to_owned(),
        Some("directory") => "by the directory file".to_owned(),
        Some("header") => "by the sender only".to_owned(),
        Some("token") => "by an API token".to_owned(),
        Some("tailscale") => "by Tailscale".to_owned(),
        Some("headscale") => "by Headscale".to_owned(),
        Some("local") => "by this server".to_owned(),
        Some(other) => format!("by {}", meshtrail_event::text::shortened(other, 24)),
        None => String::new(),
    };
    html! {
        @match &identity.status {
            IdentityStatus::Resolved => { span { "resolved " (words::foreign(&provider)) } }
            IdentityStatus::SelfReported => { span.unsure { "self-reported: nobody but the sender says so" } }
            IdentityStatus::Conflicting => {
                span.unsure { "conflicting: the sender says one thing, " (words::foreign(provider.trim_start_matches("by "))) " another" }
            }
            IdentityStatus::Unresolved => { span.unsure { "unresolved: nobody knew at that time" } }
            IdentityStatus::Other(word) => { span.unsure { (words::foreign(word)) } }
        }
        @if let Some(as_of) = identity.as_of { " " span.q { "as of " (words::clock(as_of, now)) " UTC" } }
        @if let Some(reason) = &identity.reason { br; span.unsure { (words::foreign(reason)) } }
    }
}
