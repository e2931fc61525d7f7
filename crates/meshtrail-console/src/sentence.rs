//! A sentence that describes an event, one form for each kind.
//!
//! A sentence begins with the verb, as in "opened a session on db-prod-1 as root": the actor is shown before it, in a
//! column or as the subject. What is unknown is stated, not left out. Names from other machines are separate parts, so
//! that a page can escape and isolate them; nothing here knows of pages.

use std::borrow::Cow;
use std::fmt;

use meshtrail_event::{
    Change, Coverage, Delivery, Detail, Event, Finding, FindingStatus, Flow, Kind, KubeRequest, LogLine,
    Login, Mark, Outcome, Own, Process, SessionFacts, Target, Transfer, text,
};

use super::quantities::{count, duration, plural, size};

/// The description of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence(Vec<Part>);

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Our own words.
    Words(Cow<'static, str>),
    /// A name from elsewhere.
    Name(String),
    /// Text that was typed or sent, such as a command.
    Typed(String),
    /// What is unknown or conflicting.
    Unsure(String),
}

impl Part {
    /// Most columns of a part from elsewhere.
    pub(crate) const COLUMNS: usize = 160;
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Words(words) => f.write_str(words),
            Part::Name(text) | Part::Typed(text) | Part::Unsure(text) => {
                f.write_str(&text::shorten(text, Part::COLUMNS))
            }
        })
    }
}

impl Sentence {
    /// The parts, which are shown one after the other.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    fn new(words: impl Into<Cow<'static, str>>) -> Sentence {
        Sentence(vec![Part::Words(words.into())])
    }

    fn words(mut self, words: impl Into<Cow<'static, str>>) -> Sentence {
        self.0.push(Part::Words(words.into()));
        self
    }

    fn name(mut self, name: impl Into<String>) -> Sentence {
        self.0.push(Part::Name(name.into()));
        self
    }

    fn typed(mut self, typed: impl Into<String>) -> Sentence {
        self.0.push(Part::Typed(typed.into()));
        self
    }

    fn unsure(mut self, words: impl Into<String>) -> Sentence {
        self.0.push(Part::Unsure(words.into()));
        self
    }

    /// Appends `before` and the name, if there is one.
    fn and_name(self, before: &'static str, name: Option<impl Into<String>>) -> Sentence {
        match name {
            Some(name) => self.words(before).name(name),
            None => self,
        }
    }

    /// Appends `before` and the typed text, if there is any.
    fn and_typed(self, before: &'static str, typed: Option<&String>) -> Sentence {
        match typed {
            Some(typed) if !typed.is_empty() => self.words(before).typed(typed.clone()),
            _ => self,
        }
    }

    /// Appends the reason, if there is one.
    fn because(self, reason: Option<&String>) -> Sentence {
        match reason {
            Some(reason) => self.words(": ").unsure(reason.clone()),
            None => self,
        }
    }

    /// Appends `before` and the target's name, or that the target is not known.
    fn on(self, before: &'static str, target: &Target) -> Sentence {
        match target.label() {
            Some(label) => self.words(before).name(label),
            None => self.words(before).unsure("a target not known"),
        }
    }
}

/// Describes an event.
#[must_use]
pub fn sentence(event: &Event) -> Sentence {
    match &event.detail {
        Some(Detail::Session(facts)) => session(event, facts),
        Some(Detail::Mark(mark)) => self::mark(event, mark),
        Some(Detail::Login(login)) => host_login(event, login),
        Some(Detail::Process(process)) => self::process(event, process),
        Some(Detail::Transfer(transfer)) if event.kind == Kind::SshForwarded => forward(event, transfer),
        Some(Detail::Transfer(transfer)) => self::transfer(event, transfer),
        Some(Detail::Coverage(coverage)) => self::coverage(event, coverage),
        Some(Detail::Kube(request)) => kube(event, request),
        Some(Detail::Flow(flow)) => self::flow(event, flow),
        Some(Detail::Change(change)) => self::change(event, change),
        Some(Detail::Log(line)) => log(line),
        Some(Detail::Finding(finding)) => self::finding(event, finding),
        Some(Detail::Delivery(delivery)) => self::delivery(event, delivery),
        Some(Detail::Own(own)) => self::own(event, own),
        Some(Detail::Other(_)) => {
            Sentence::new("did something this version has no words for: ").name(event.kind.as_str())
        }
        None => without_detail(event),
    }
}

fn without_detail(event: &Event) -> Sentence {
    let empty = Detail::empty(&event.kind);
    if matches!(empty, Detail::Other(_)) {
        return Sentence::new("did something this version has no words for: ").name(event.kind.as_str());
    }
    let mut with_empty = event.clone();
    with_empty.detail = Some(empty);
    sentence(&with_empty)
}

fn mark(event: &Event, mark: &Mark) -> Sentence {
    let session = event.session.as_ref().map(|session| session.as_str().to_owned());
    let verb = if event.kind == Kind::RecordingRetired { "dropped " } else { "bound " };
    let sentence = match mark.bytes {
        Some(bytes) => Sentence::new(verb).words(format!("the first {}", plural(bytes, "byte", "bytes"))),
        None => Sentence::new(verb).words("the bytes"),
    };
    let sentence = match session {
        Some(session) => sentence.words(" of session ").name(session),
        None => sentence.words(" of a recording"),
    };
    if event.kind == Kind::RecordingRetired {
        return sentence.words(", past its retention period");
    }
    sentence.words(" into the trail")
}

fn session(event: &Event, facts: &SessionFacts) -> Sentence {
    let begin = |words: &'static str| {
        Sentence::new(words).on("", &event.target).and_name(" as ", event.target.account.clone())
    };
    let sentence = match &event.kind {
        Kind::SshSessionStarted | Kind::KubeSessionStarted => begin("opened a session on "),
        Kind::SshSessionInterrupted | Kind::KubeSessionInterrupted => begin("was cut off in a session on "),
        Kind::SshSessionFailed | Kind::KubeSessionFailed => begin("tried to record a session on "),
        _ => begin("ended a session on "),
    };
    let sentence = sentence.and_typed(", running ", facts.command.as_ref());
    let sentence = match (facts.started, facts.ended) {
        (Some(started), Some(ended)) if ended >= started => {
            sentence.words(format!(", after {}", duration(ended.since(started))))
        }
        _ => sentence,
    };
    let sentence = match &facts.imported_from {
        Some(_) => sentence.unsure(" (imported, not witnessed)"),
        None => sentence,
    };
    sentence.because(facts.reason.as_ref())
}

fn host_login(event: &Event, login: &Login) -> Sentence {
    let failed = event.outcome != meshtrail_event::Outcome::Success;
    let verb = match (&event.kind, failed) {
        (Kind::SshLogout, _) => "logged out of ",
        (Kind::HostElevated, false) => "raised their rights on ",
        (Kind::HostElevated, true) => "failed to raise their rights on ",
        (_, false) => "logged in on ",
        (_, true) => "failed to log in on ",
    };
    let sentence = Sentence::new("").on(verb, &event.target).and_name(" as ", event.target.account.clone());
    let sentence = sentence.and_name(" from ", login.peer.clone()).and_name(" by ", login.method.clone());
    sentence.because(login.reason.as_ref())
}

fn process(event: &Event, process: &Process) -> Sentence {
    let ran = if event.kind == Kind::ProcessExited { "ended " } else { "ran " };
    let what = process.command.clone().or_else(|| process.executable.clone());
    let sentence = match (process.count, what) {
        (Some(count), Some(what)) if count > 1 => {
            Sentence::new(ran).words(plural(count, "process", "processes")).words(" like ").typed(what)
        }
        (_, Some(what)) => Sentence::new(ran).typed(what),
        (_, None) => Sentence::new(ran).unsure("a program not known"),
    };
    let sentence = sentence.on(" on ", &event.target).and_name(" as ", event.target.account.clone());
    match (&process.exit_signal, process.exit_status) {
        (Some(signal), _) => sentence.words(", by signal ").name(signal.clone()),
        (None, Some(status)) => sentence.words(format!(", with status {status}")),
        (None, None) => sentence,
    }
}

fn transfer(event: &Event, transfer: &Transfer) -> Sentence {
    let (verb, way) = match (transfer.direction.as_deref(), &event.outcome) {
        (Some("upload"), Outcome::Success) => ("uploaded ", " to "),
        (Some("upload"), Outcome::Denied) => ("was not let upload ", " to "),
        (Some("upload"), _) => ("did not finish uploading ", " to "),
        (Some("download"), Outcome::Success) => ("downloaded ", " from "),
        (Some("download"), Outcome::Denied) => ("was not let download ", " from "),
        (Some("download"), _) => ("did not finish downloading ", " from "),
        (_, Outcome::Success) => ("copied ", " on "),
        (_, Outcome::Denied) => ("was not let copy ", " on "),
        _ => ("did not finish copying ", " on "),
    };
    let sentence = match &transfer.path {
        Some(path) => Sentence::new(verb).typed(path.clone()),
        None => Sentence::new(verb).unsure("a file not known"),
    };
    let sentence = sentence.on(way, &event.target).and_name(" as ", event.target.account.clone());
    let sentence = match transfer.bytes {
        Some(bytes) => sentence.words(format!(", {}", size(bytes))),
        None => sentence,
    };
    sentence.because(transfer.reason.as_ref())
}

fn forward(event: &Event, transfer: &Transfer) -> Sentence {
    let verb = match event.outcome {
        Outcome::Success => "opened a forward",
        Outcome::Denied => "was refused a forward",
        Outcome::Failure => "failed to open a forward",
        _ => "asked for a forward",
    };
    let sentence = Sentence::new(verb)
        .and_typed(" from ", transfer.bind.as_ref())
        .and_typed(" to ", transfer.destination.as_ref())
        .on(" through ", &event.target);
    sentence.because(transfer.reason.as_ref())
}

fn coverage(event: &Event, coverage: &Coverage) -> Sentence {
    let verb = if coverage.until.is_some() { "could not see " } else { "can't see " };
    let what = coverage.what.clone().unwrap_or_else(|| "a part".to_owned());
    let sentence = Sentence::new(verb).name(what).on(" on ", &event.target);
    let sentence = sentence.and_name(" by ", coverage.source.clone());
    let sentence = match (coverage.since, coverage.until) {
        (Some(since), Some(until)) if until >= since => {
            sentence.words(format!(" for {}", duration(until.since(since))))
        }
        _ => sentence,
    };
    let sentence = match coverage.count {
        Some(lost) => sentence.words(", ").unsure(format!("{} lost", count(lost))),
        None => sentence,
    };
    sentence.because(coverage.reason.as_ref())
}

fn kube(event: &Event, request: &KubeRequest) -> Sentence {
    let verb =
        request.verb.clone().or_else(|| request.method.clone()).unwrap_or_else(|| "request".to_owned());
    let intended = event.kind == Kind::KubeRequestIntended;
    let sentence = Sentence::new(if intended { "asked to " } else { "did " }).name(verb);
    let sentence = match (&request.resource, &request.subresource) {
        (Some(resource), Some(sub)) => sentence.words(" ").typed(format!("{resource}/{sub}")),
        (Some(resource), None) => sentence.words(" ").typed(resource.clone()),
        (None, _) => sentence.and_typed(" ", request.path.as_ref()),
    };
    let sentence =
        sentence.and_name(" ", event.target.name.clone()).and_name(" in ", event.target.namespace.clone());
    match request.status {
        Some(status) => sentence.words(format!(": {status}")),
        None if !intended => sentence.words(": ").unsure("the answer is not known"),
        None => sentence,
    }
}

fn flow(event: &Event, flow: &Flow) -> Sentence {
    let verb = match &event.kind {
        Kind::FlowOpened => "opened a connection ",
        Kind::FlowClosed => "closed a connection ",
        _ => "exchanged ",
    };
    let sentence = Sentence::new(verb).typed(flow.src.clone().unwrap_or_else(|| "?".to_owned()));
    let sentence = sentence.words(" → ").typed(flow.dst.clone().unwrap_or_else(|| "?".to_owned()));
    match (flow.tx_bytes, flow.rx_bytes) {
        (None, None) => sentence,
        (sent, received) => sentence.words(format!(
            ", {} out, {} in",
            sent.map_or_else(|| "?".to_owned(), size),
            received.map_or_else(|| "?".to_owned(), size)
        )),
    }
}

fn change(event: &Event, change: &Change) -> Sentence {
    if let Some(summary) = &change.summary {
        return Sentence(vec![Part::Name(summary.clone())]);
    }
    // `device.role_changed` reads as "device role changed", which also works for kinds added later.
    let words = event.kind.as_str().replace(['.', '_'], " ");
    let sentence = Sentence::new(words).and_name(" ", event.target.label());
    sentence.and_typed(", property ", change.property.as_ref())
}

fn log(line: &LogLine) -> Sentence {
    match &line.text {
        Some(text) => Sentence::new("logged ").typed(text.clone()),
        None => Sentence::new("logged a line without text"),
    }
}

fn finding(event: &Event, finding: &Finding) -> Sentence {
    let verb = match (&event.kind, &finding.status) {
        (Kind::FindingChanged, Some(FindingStatus::Acknowledged)) => "acknowledged a finding",
        (Kind::FindingChanged, Some(FindingStatus::Closed)) => "closed a finding",
        (Kind::FindingChanged, _) => "changed a finding",
        _ => "found",
    };
    let title = finding.title.clone().or_else(|| finding.summary.clone()).or_else(|| finding.rule.clone());
    let sentence = match title {
        Some(title) => Sentence::new(verb).words(": ").name(title),
        None => Sentence::new(verb),
    };
    sentence.because(finding.reason.as_ref())
}

fn delivery(event: &Event, delivery: &Delivery) -> Sentence {
    let verb = match &event.kind {
        Kind::AlertSent => "sent an alert",
        Kind::AlertFailed => "could not send an alert",
        Kind::DeliveryFailed => "could not deliver",
        _ => "delivered",
    };
    let title = delivery.title.clone().or_else(|| delivery.summary.clone()).or_else(|| delivery.rule.clone());
    let sentence = match (title, delivery.count) {
        (Some(title), _) => Sentence::new(verb).words(": ").name(title),
        (None, Some(count)) => Sentence::new(verb).words(" ").words(plural(count, "event", "events")),
        (None, None) => Sentence::new(verb),
    };
    sentence.and_name(" to ", delivery.destination.clone()).because(delivery.error.as_ref())
}

fn own(event: &Event, own: &Own) -> Sentence {
    let about =
        event.session.as_ref().map(|session| session.as_str().to_owned()).or_else(|| event.target.label());
    let sentence = match &event.kind {
        Kind::MeshtrailStarted => Sentence::new("started"),
        Kind::MeshtrailStopped => Sentence::new("stopped in order"),
        Kind::MeshtrailSignedIn => signed_in(event, own),
        Kind::MeshtrailSignedOut => Sentence::new("signed out"),
        Kind::MeshtrailViewed if own.what.as_deref() == Some("follow") => {
            Sentence::new("watched live session").and_name(" ", about)
        }
        Kind::MeshtrailViewed => Sentence::new("watched session").and_name(" ", about),
        Kind::MeshtrailExported => Sentence::new("took out ")
            .name(own.what.clone().unwrap_or_else(|| "evidence".to_owned()))
            .and_name(" of ", about),
        Kind::MeshtrailKilled => Sentence::new("ended session").and_name(" ", about),
        Kind::MeshtrailSourceConnected => {
            Sentence::new("heard from source").and_name(" ", own.source.clone())
        }
        Kind::MeshtrailSourceSilent => {
            Sentence::new("has not heard from source").and_name(" ", own.source.clone())
        }
        Kind::MeshtrailSourceGap => source_gap(own),
        Kind::MeshtrailHoldPlaced => Sentence::new("placed a hold on").and_name(" ", about),
        Kind::MeshtrailHoldLifted => Sentence::new("lifted the hold on").and_name(" ", about),
        Kind::MeshtrailImported => Sentence::new("imported session").and_name(" ", about),
        Kind::MeshtrailStatementMade => Sentence::new("made the statement of ")
            .name(own.day.clone().unwrap_or_else(|| "a day".to_owned())),
        Kind::MeshtrailSilenceChanged => Sentence::new("changed a silence").and_name(": ", about),
        Kind::MeshtrailExceptionChanged => Sentence::new("changed an exception").and_name(" of rule ", about),
        Kind::MeshtrailPersonErased => Sentence::new("erased a person").and_name(": ", about),
        Kind::MeshtrailWitnessRefused => {
            Sentence::new("was refused a cosignature").and_name(" by witness ", about)
        }
        Kind::MeshtrailRetired => Sentence::new("dropped events past their retention period"),
        Kind::MeshtrailRuleChanged => Sentence::new("changed a rule").and_name(": ", own.what.clone()),
        _ => Sentence::new("changed Meshtrail's configuration").and_name(": ", own.what.clone()),
    };
    sentence.and_typed(", because ", own.reason.as_ref())
}

fn signed_in(event: &Event, own: &Own) -> Sentence {
    let done = event.outcome == meshtrail_event::Outcome::Success;
    let verb = if done { "signed in" } else { "was not let in" };
    let sentence =
        Sentence::new(verb).and_name(" as ", own.role.clone()).and_name(" by ", own.method.clone());
    sentence.and_name(" from ", own.address.clone())
}

fn source_gap(own: &Own) -> Sentence {
    let sentence = Sentence::new("noticed a gap in source").and_name(" ", own.source.clone());
    match (own.first, own.last) {
        (Some(first), Some(last)) => {
            sentence.words(": ").unsure(format!("numbers {} to {} never came", count(first), count(last)))
        }
        _ => sentence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(members: &str) -> String {
        let json = format!(
            r#"{{"id":"main.recorder.1.7","time":"2026-11-20T14:02:11Z","received":"2026-11-20T14:02:11Z",{members}}}"#
        );
        sentence(&Event::from_json(json.as_bytes()).unwrap()).to_string()
    }

    #[test]
    fn a_session_is_said_with_target_account_command_and_length() {
        let session = describe(
            r#""kind":"ssh.session.ended","target":{"account":"root","device":{"name":"db-1.tail.example"}},
            "detail":{"command":"psql","started":"2026-11-20T14:00:00Z","ended":"2026-11-20T14:02:11Z"}"#,
        );
        assert_eq!(session, "ended a session on db-1 as root, running psql, after 2 min 11 s");
    }

    #[test]
    fn a_mark_says_how_much_of_which_session() {
        let mark = r#""kind":"recording.mark","session":"20261120-main-3-17","detail":{"bytes":1701}"#;
        assert_eq!(
            describe(mark),
            "bound the first 1,701 bytes of session 20261120-main-3-17 into the trail"
        );
        assert_eq!(describe(r#""kind":"recording.mark""#), "bound the bytes of a recording into the trail");
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(describe(r#""kind":"ssh.session.started""#), "opened a session on a target not known");
        assert_eq!(
            describe(r#""kind":"kube.request.done","detail":{"verb":"patch","resource":"pods"}"#),
            "did patch pods: the answer is not known"
        );
    }

    #[test]
    fn processes_files_and_forwards_say_what_was_done_where_and_how_it_ended() {
        let target = r#""target":{"account":"root","device":{"name":"db-1.tail.example"}}"#;
        let of = |kind: &str, outcome: &str, detail: &str| {
            describe(&format!(r#""kind":"{kind}","outcome":"{outcome}",{target},"detail":{{{detail}}}"#))
        };
        let nc = r#""command":"nc -l 4444","executable":"/usr/bin/nc""#;
        assert_eq!(of("process.started", "success", nc), "ran nc -l 4444 on db-1 as root");
        let killed = format!(r#"{nc},"exit_signal":"KILL""#);
        assert_eq!(
            of("process.exited", "success", &killed),
            "ended nc -l 4444 on db-1 as root, by signal KILL"
        );
        let folded = r#""count":4000,"executable":"/bin/true""#;
        assert_eq!(
            of("process.started", "success", folded),
            "ran 4,000 processes like /bin/true on db-1 as root"
        );
        let file = r#""bytes":66536,"direction":"download","path":"/srv/customers.csv""#;
        let whole = of("file.transferred", "success", file);
        assert!(whole.starts_with("downloaded /srv/customers.csv from db-1 as root, 6"), "{whole}");
        let cut = format!(r#"{file},"reason":"the connection was lost""#);
        let cut = of("file.transferred", "failure", &cut);
        assert!(cut.starts_with("did not finish downloading /srv/customers.csv from db-1"), "{cut}");
        assert!(cut.ends_with(": the connection was lost"), "{cut}");
        let way = r#""bind":"127.0.0.1:8080","destination":"10.0.0.7:5432""#;
        let refused = of("ssh.forwarded", "denied", way);
        assert_eq!(refused, "was refused a forward from 127.0.0.1:8080 to 10.0.0.7:5432 through db-1");
        let blind = r#""reason":"audit is off","since":"2026-11-20T14:00:00Z","until":"2026-11-20T14:05:00Z","what":"logins""#;
        assert_eq!(
            of("host.coverage", "success", blind),
            "could not see logins on db-1 for 5 min: audit is off"
        );
    }

    #[test]
    fn a_finding_says_what_became_of_it() {
        let of = |kind: &str, detail: &str| describe(&format!(r#""kind":"{kind}","detail":{{{detail}}}"#));
        assert_eq!(of("finding.raised", r#""title":"New device""#), "found: New device");
        let closed = r#""reason":"it is ours","status":"closed","title":"New device""#;
        assert_eq!(of("finding.changed", closed), "closed a finding: New device: it is ours");
        let sent = r#""destination":"slack","title":"New device""#;
        assert_eq!(of("alert.sent", sent), "sent an alert: New device to slack");
        let failed = r#""count":7,"destination":"splunk","error":"no answer""#;
        assert_eq!(of("delivery.failed", failed), "could not deliver 7 events to splunk: no answer");
    }

    #[test]
    fn a_kind_from_a_newer_version_is_named() {
        assert_eq!(
            describe(r#""kind":"quantum.entangled","detail":{"x":1}"#),
            "did something this version has no words for: quantum.entangled"
        );
    }

    #[test]
    fn every_known_kind_has_a_sentence_that_does_not_end_in_the_air() {
        for kind in Kind::KNOWN {
            let words = describe(&format!(r#""kind":"{kind}""#));
            assert!(!words.is_empty() && !words.ends_with([' ', ':', ',']), "{kind}: {words:?}");
        }
    }
}
