use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds).unwrap()
}

fn take_pending(sources: &Sources) -> Vec<String> {
    let pending = std::mem::take(&mut sources.registry().pending);
    pending
        .into_iter()
        .map(|draft| {
            let Some(meshtrail_event::Detail::Own(own)) = draft.detail else { panic!("no detail") };
            format!("{} {} {}", draft.kind, own.source.unwrap(), own.reason.unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_source_is_said_to_be_heard_once_until_it_was_silent() {
    let sources = Sources::none();
    let source = sources.register_at("tailscale.audit", Cadence::Every(Duration::from_secs(60)), at(0));
    for second in [1, 61, 121] {
        source.record_contact_at(1, Some(at(second - 1)), at(second));
        sources.check_silence(at(second));
    }
    assert_eq!(take_pending(&sources), ["meshtrail.source_connected tailscale.audit "]);
    source.record_trouble("the API answered 503");
    sources.check_silence(at(301));
    assert!(take_pending(&sources).is_empty(), "three times the expected span is waited");
    for second in [302, 400, 500] {
        sources.check_silence(at(second));
    }
    let silent = take_pending(&sources);
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert!(silent[0].starts_with("meshtrail.source_silent") && silent[0].ends_with("503"), "{silent:?}");
    source.record_contact_at(0, None, at(600));
    assert!(take_pending(&sources)[0].contains("after silence since"));
    let report = &sources.report_at(at(600))[0];
    assert_eq!((report.state, report.events, report.trouble.as_deref()), (SourceState::Connected, 3, None));
}

#[test]
fn a_source_that_was_never_heard_is_said_to_be_silent_with_its_reason() {
    let sources = Sources::none();
    let source = sources.register_at("headscale", Cadence::Every(Duration::from_secs(10)), at(0));
    assert_eq!(sources.report_at(at(1))[0].state, SourceState::Waiting);
    source.record_trouble("the key is refused");
    assert_eq!(sources.report_at(at(1))[0].state, SourceState::Trouble);
    sources.check_silence(at(31));
    assert!(take_pending(&sources)[0].contains("not heard since the start: the key is refused"));
}

#[test]
fn a_gap_is_counted_and_said() {
    let sources = Sources::none();
    let source = sources.register_at("tailscale.audit", Cadence::Irregular, at(0));
    source.record_gap(at(0), at(10), "the API keeps 90 days");
    source.record_missing(3, 7, "lines were lost");
    let report = &sources.report_at(at(20))[0];
    assert_eq!((report.gaps, report.recent_gaps.len()), (2, 2));
    let said = take_pending(&sources);
    assert!(said[0].contains("the API keeps 90 days (from 2027-01-15T08:00:00.000000000Z"), "{said:?}");
    assert!(said[1].contains("lines were lost (3 to 7)"), "{said:?}");
}

#[test]
fn a_part_that_is_not_visible_any_more_is_said_once_and_again_when_it_is() {
    let sources = Sources::none();
    let source = sources.register_at("tailscale.state", Cadence::Irregular, at(0));
    source.record_unavailable("webhooks", None, "the plan has none");
    assert!(take_pending(&sources).is_empty(), "what never was seen is nothing that went missing");
    for second in [10, 20] {
        source.record_unavailable("users", Some(at(second)), "it needs the scope users:read");
    }
    let gone = take_pending(&sources);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(
        gone[0]
            .starts_with("meshtrail.source_gap tailscale.state users: not visible any more, seen last 2027")
    );
    let unavailable = &sources.report_at(at(30))[0].unavailable;
    assert_eq!((unavailable[0].part.as_str(), unavailable[0].since), ("users", Some(at(10))));
    source.record_available("users");
    source.record_available("users");
    let back = take_pending(&sources);
    assert!(back.len() == 1 && back[0].contains("users: visible again"), "{back:?}");
}
