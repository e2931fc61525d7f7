//! The filter language: which texts are filters, which events they match, and the messages of errors.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use meshtrail_event::Timestamp;
use meshtrail_query::{Filter, FilterError, RequiredColumn, Requirement, tokens};
use meshtrail_trail::segment::{ColumnTest, Predicate, SegmentReader, Selection, encode};
use proptest::prelude::*;

const ENDED: &str = r#"{"actor":{"device":{"addresses":["100.64.0.7","fd7a:115c:a1e0::7"],"id":"n7",
    "name":"laptop.tail.example"},"person":{"groups":["group:sre"],"login":"alice@example.com","name":"Alice \"Al\" Ö"}},
    "detail":{"bytes":1234,"command":"sudo rm -rf /srv","peer":"100.64.0.20:51000","recorded_by":"web.tail.example"},
    "id":"main.recorder.3.17","identity":{"provider":"localapi","status":"resolved"},
    "kind":"ssh.session.ended","outcome":"success","received":"2026-11-20T14:02:12.000000000Z",
    "session":"20261120-main-3-17","target":{"account":"root","device":{"addresses":["100.64.0.20"],"id":"n20",
    "name":"web.tail.example","tags":["tag:prod"]}},"time":"2026-11-20T14:02:11.000000000Z"}"#;

const POD: &str = r#"{"actor":{"tags":["tag:ci"]},"detail":7,"id":"a.1.1","identity":{"claimed":{"login":"mallory@example.com"},
    "status":"conflicting"},"kind":"quantum.entangled","outcome":"unknown","received":"2026-11-20T14:02:12.000000000Z",
    "target":{"name":"web-0","namespace":"shop","type":"pod"},"time":"2026-11-20T14:02:11.000000000Z"}"#;

const FLOW: &str = r#"{"actor":{"device":{"id":"n7","name":"laptop.tail.example"},"person":{"login":"alice@example.com"}},
    "detail":{"dst":"[fd7a::20]:22","dst_node":"n20","proto":6,"src":"100.64.0.7:51000","src_node":"n7"},
    "id":"a.1.9","identity":{"status":"resolved"},"kind":"flow.counted","target":{"address":"100.64.0.20:22",
    "device":{"id":"n20","name":"db.tail.example"}},"time":"2026-11-20T14:02:11.000000001Z"}"#;

const PROCESS: &str = r#"{"actor":{},"detail":{"argv":["nc","-l","4444"],"command":"nc -l 4444","executable":"/usr/bin/nc"},
    "id":"a.1.2","identity":{"likely":{"person":{"id":"u1","login":"alice@example.com","name":"Alice"},
    "reason":"the only login then"},"status":"unresolved"},"kind":"process.started","outcome":"success",
    "target":{"account":"root","device":{"id":"n20","name":"db.tail.example","tags":["tag:db"]}},
    "time":"2026-11-20T14:02:11.000000000Z"}"#;

const FILE: &str = r#"{"actor":{"person":{"login":"alice@example.com"}},"detail":{"direction":"download",
    "path":"/srv/customers.csv","rule":"ssh rule 2"},"id":"a.1.3","kind":"file.transferred","outcome":"success",
    "target":{"device":{"name":"db.tail.example"}},"time":"2026-11-20T14:02:11.000000000Z"}"#;

const REQUEST: &str = r#"{"actor":{"person":{"login":"alice@example.com"}},"detail":{"argv":["sh","-c","id"],
    "path":"/api/v1/namespaces/shop/pods/web/exec?command=sh","status":101,"verb":"create"},"id":"a.1.4",
    "identity":{"provider":"token","status":"resolved"},"kind":"kube.request.done","outcome":"success",
    "target":{"cluster":"prod-eu","name":"web","namespace":"shop","type":"pod"},"time":"2026-11-20T14:02:11.000000000Z"}"#;

const FINDING: &str = r#"{"actor":{"person":{"login":"alice@example.com"}},"detail":{"key":"a.1.1","rule":"mesh.device_added",
    "severity":"medium","status":"open","subject":{"id":"n7","type":"device"},"title":"New device"},"id":"a.1.5",
    "kind":"finding.raised","outcome":"success","time":"2026-11-20T14:02:11.000000000Z"}"#;

/// Alerts were findings before they had a family of their own.
const ALERT: &str = r#"{"detail":{"destination":"slack","rule":"mesh.device_added","severity":"high"},"id":"a.1.6",
    "kind":"alert.sent","outcome":"success","time":"2026-11-20T14:02:11.000000000Z"}"#;

fn parse(filter: &str) -> Filter {
    let now = "2026-11-20T15:00:00Z".parse::<Timestamp>().unwrap();
    Filter::parse(filter).unwrap().with_now(now)
}

fn matches(filter: &str, leaf: &str) -> bool {
    parse(filter).matches(leaf.as_bytes())
}

#[test]
fn a_flow_is_found_by_each_of_its_ends() {
    for filter in [
        "address:100.64.0.7",
        "address:100.64.0.7:51000",
        "address:fd7a::/16",
        "address:[fd7a::20]:22",
        "address:*:22",
        "target:100.64.0.20:22",
        "target:100.64.0.*",
        "target:db",
        "device:n20",
        "device:db.tail.example",
        "device:laptop address:100.64.0.20",
        "actor:laptop OR session:20200101-main-1-1",
        "person:ALICE@example.com kind:flow",
    ] {
        assert!(matches(filter, FLOW), "{filter}");
        assert!(is_selected(&parse(filter), FLOW), "{filter}: hints exclude it");
    }
}

#[test]
fn a_filter_lets_through_what_it_describes() {
    for filter in [
        "",
        "actor:alice@example.com",
        "actor:ALICE@example.com",
        "actor:laptop",
        "actor:n7",
        "actor:100.64.0.7",
        "person:alice*",
        "group:sre",
        "group:group:sre",
        "tag:prod",
        "tag:tag:prod",
        "target:tag:prod",
        "target:web",
        "target:root,nobody",
        "device:web.tail.example device:laptop",
        "kind:ssh",
        "kind:ssh.session",
        "kind:*.ended",
        "outcome:denied,success",
        "session:20261120-main-3-17",
        "session:20261120-*",
        "source:main.recorder",
        "id:main.recorder.3.17",
        "address:100.64.0.0/16",
        "address:100.64.0.20:51000",
        "command:RM",
        "command:\"rm -rf\"",
        "command:sudo*srv",
        "identity:resolved",
        "\"rm -rf\" alice",
        "text:1234",
        "\"al\\\" ö\"",
        "since:24h until:30m",
        "since:today until:today",
        "since:2026-11-20 until:2026-11-20",
        "since:2026-11-20T14:02:11Z",
        "-outcome:denied -actor:bob",
        "actor:bob OR (kind:ssh -(kind:kube OR outcome:denied))",
        "actor:alice* AND kind:ssh",
        "--kind:ssh",
    ] {
        assert!(matches(filter, ENDED), "{filter}");
        assert!(is_selected(&parse(filter), ENDED), "{filter}: hints exclude it");
    }
}

#[test]
fn processes_files_requests_and_findings_are_found_by_their_own_fields() {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        (
            PROCESS,
            &[
                "executable:nc",
                "executable:/usr/bin/nc",
                "executable:/usr/*",
                "argv:-l",
                "command:4444",
                "tag:db kind:process",
            ],
            &["executable:bin", "argv:l", "file:nc", "url:nc"],
        ),
        (
            FILE,
            &[
                "file:customers.csv",
                "file:/srv/customers.csv",
                "file:*customers*",
                "rule:\"ssh rule 2\"",
                "-file:*.zip",
            ],
            &["file:srv", "file:customers", "url:*customers*"],
        ),
        (
            REQUEST,
            &["url:pods/web/exec", "url:*/exec*", "cluster:prod-eu", "namespace:shop", "argv:id", "by:token"],
            &["file:*", "url:secrets", "cluster:prod", "by:localapi", "status:open"],
        ),
        (
            FINDING,
            &[
                "rule:mesh.device_added",
                "rule:mesh.*",
                "severity:medium,high",
                "status:open",
                "subject:n7",
                "subject:device",
            ],
            &["severity:high", "status:closed", "subject:n8", "rule:mesh"],
        ),
        (ALERT, &["kind:alert", "severity:high", "rule:mesh.device_added"], &["status:open", "severity:low"]),
    ];
    for (leaf, found, not_found) in cases {
        for filter in found {
            assert!(matches(filter, leaf), "{filter}");
            assert!(is_selected(&parse(filter), leaf), "{filter}: hints exclude it");
        }
        for filter in not_found {
            assert!(!matches(filter, leaf), "{filter}");
        }
    }
    let hints = parse("kind:alert").scan_hints();
    assert!(
        hints.families.contains(&meshtrail_event::Family::Finding),
        "older alerts are in the files of findings"
    );
}

#[test]
fn a_guess_is_found_as_text_and_by_no_field() {
    assert!(matches("alice@example.com", PROCESS) && matches("\"the only login\"", PROCESS));
    for filter in [
        "actor:alice@example.com",
        "person:alice@example.com",
        "person:Alice",
        "target:u1",
        "-identity:unresolved",
    ] {
        assert!(!matches(filter, PROCESS), "{filter}");
    }
}

#[test]
fn a_filter_keeps_out_what_it_does_not_describe() {
    for filter in [
        "actor:alice",
        "actor:bob",
        "person:laptop",
        "group:ops",
        "tag:pro",
        "target:alice*",
        "device:web2",
        "kind:kube",
        "-kind:ssh",
        "outcome:denied",
        "session:20261120-main-3-18",
        "source:main",
        "address:100.64.0.21",
        "command:\"rm -r /\"",
        "identity:conflicting",
        "login",
        "\"\\\",\\\"\"",
        "since:30m",
        "until:2026-11-20T14:02:11Z",
        "since:yesterday until:yesterday",
        "actor:alice@example.com kind:kube",
        "actor:bob OR kind:kube",
    ] {
        assert!(!matches(filter, ENDED), "{filter}");
    }
}

#[test]
fn a_leaf_of_a_newer_version_is_found_by_what_is_understood_of_it() {
    for filter in [
        "tag:ci",
        "target:shop/web-0",
        "actor:mallory@example.com",
        "identity:conflicting",
        "kind:quantum*",
        "-command:*",
    ] {
        assert!(matches(filter, POD), "{filter}");
        assert!(is_selected(&parse(filter), POD), "{filter}: hints exclude it");
    }
}

#[test]
fn bytes_that_are_no_event_are_only_found_by_their_text() {
    assert!(!matches("actor:a", "nonsense") && !matches("-actor:a", "nonsense"));
    assert!(
        matches("identity:unresolved -identity:resolved", "{}"),
        "who says nothing of it resolved nobody"
    );
    assert!(matches("", "nonsense") && matches("broken", "[\"half broken\"") && !matches("x", ""));
}

fn refusal_of(text: &str) -> (String, String) {
    let error: FilterError = Filter::parse(text).unwrap_err();
    (text[error.span.range()].to_owned(), error.to_string())
}

#[test]
fn a_text_that_is_no_filter_is_refused_at_the_place_with_what_would_be_right() {
    let cases = [
        (
            "x acotr:a",
            "acotr:",
            "there is no field \"acotr\", at character 3: did you mean actor? Quote a text that holds a colon",
        ),
        (
            "user:a",
            "user:",
            "there is no field \"user\", at character 1: did you mean person? Quote a text that holds a colon",
        ),
        (
            ":a",
            ":",
            "a field's name is missing before this colon, at character 1: quote a text that holds a colon",
        ),
        (
            "actor:",
            "actor:",
            "actor needs a value here, at character 1: who acted: login, name, tag, device or service",
        ),
        (
            "actor: alice",
            "actor:",
            "actor needs a value here, at character 1: who acted: login, name, tag, device or service",
        ),
        (
            "actor:a,",
            "a",
            "actor needs a value here, at character 7: who acted: login, name, tag, device or service",
        ),
        (
            "actor:a,,b",
            "a",
            "actor needs a value here, at character 7: who acted: login, name, tag, device or service",
        ),
        (
            "kind:ssh.sesion.ended",
            "ssh.sesion.ended",
            "\"ssh.sesion.ended\" is not a known kind, at character 6: did you mean ssh.session.ended?",
        ),
        (
            "outcome:bad",
            "bad",
            "\"bad\" is not a known outcome, at character 9: did you mean success, failure, denied, unknown?",
        ),
        (
            "since:soon",
            "soon",
            "\"soon\" is not a time, at character 7: not before: 24h, 7d, 2026-11-20, 2026-11-20T14:02:11Z, today",
        ),
        ("since:1h,2h", "2h", "since takes one time, at character 10"),
        (
            "id:7",
            "7",
            "\"7\" is not an event id, at character 4: such as main.recorder.3.17, or with *: main.recorder.3.*",
        ),
        (
            "session:x",
            "x",
            "\"x\" is not a session id, at character 9: such as 20261120-main-3-17, or with *: 20261120-*",
        ),
        (
            "address:web",
            "web",
            "\"web\" is not an address or a network, at character 9: for a name, use device: or target:",
        ),
        ("a (b", "(", "this ( is never closed, at character 3: quote it to search for it: \"(\""),
        ("a )", ")", "this ) closes nothing, at character 3: quote it to search for it: \")\""),
        ("()", "()", "nothing stands between these parentheses, at character 1"),
        (
            "a OR",
            "OR",
            "something must stand on both sides of this word, at character 3: quote it to search for the word itself",
        ),
        (
            "OR a",
            "OR",
            "something must stand on both sides of this word, at character 1: quote it to search for the word itself",
        ),
        (
            "a AND",
            "AND",
            "something must stand on both sides of this word, at character 3: quote it to search for the word itself",
        ),
        ("\"open", "\"open", "the closing quote is missing, at character 1"),
        ("\"\"", "\"\"", "nothing stands between these quotes, at character 1"),
        ("a -", "-", "nothing follows this -, at character 3: write -outcome:denied"),
        (
            "command:rm(x)",
            "(",
            "this touches the value before it, at character 11: put the whole value in quotes, or a space between",
        ),
        (
            "rm \u{1b}[2J",
            "\u{1b}",
            "a control character can't stand here, at character 4: write it as \"\\u{1b}\"",
        ),
    ];
    for (text, place, message) in cases {
        assert_eq!(refusal_of(text), (place.to_owned(), message.to_owned()), "{text}");
    }
}

#[test]
fn a_filter_that_would_cost_too_much_is_refused() {
    assert!(refusal_of(&"a".repeat(5000)).1.starts_with("a filter is at most 4096 bytes long"));
    assert!(refusal_of(&"(".repeat(4000)).1.starts_with("at most 16 parentheses inside each other"));
    assert!(refusal_of(&"a ".repeat(300)).1.starts_with("a filter holds at most 256 values"));
    assert!(matches(&format!("{}kind:ssh", "-".repeat(4000)), ENDED));
}

#[test]
fn a_filter_has_one_written_form() {
    for (text, written) in [
        ("  kind:ssh   actor:a,b ", "kind:ssh actor:a,b"),
        ("actor:\"a\"", "actor:a"),
        ("actor:\"a*\",\"a b\"", "actor:\"a*\",\"a b\""),
        ("text:rm", "rm"),
        ("text:rm,mv", "text:rm,mv"),
        ("\"-x\" \"a:b\" \"OR\" \"two words\"", "\"-x\" \"a:b\" \"OR\" \"two words\""),
        ("text:-x*", "text:-x*"),
        ("((a b) c) AND d", "a b c d"),
        ("(a OR b) OR c", "a OR b OR c"),
        ("(a OR b) c", "(a OR b) c"),
        ("-(a b)", "-(a b)"),
        ("--a", "a"),
        ("KIND:SSH", "kind:SSH"),
        ("since:2w", "since:14d"),
        ("address:[fd7a:0::7]:22", "address:[fd7a::7]:22"),
    ] {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(filter.to_string(), written);
        assert_eq!(Filter::parse(written).unwrap().to_string(), written);
    }
}

/// Texts made of the tokens of the language: most are filters.
fn filters() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "actor:",
        "kind:ssh",
        "kind:kube.session.*",
        "since:2h",
        "until:2026-11-20",
        "text:",
        "command:",
        "tag:",
        "address:10.0.0.0/8",
        "outcome:denied",
        "a",
        "rm*",
        "\"two words\"",
        "\"\\\"\\\\n\n\"",
        ",",
        "-",
        "(",
        ")",
        " OR ",
        " AND ",
        " ",
        " ",
        "x",
        "*",
        "é",
        "\"*\"",
        "\\",
        ":",
        "text:-*",
        "identity:resolved",
        "session:2026*",
        "actor:alice*",
        "person:alice@example.com",
        "device:laptop",
        "target:web",
        "address:100.64.0.7",
        "tag:prod",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_out_reads_back_the_same(text in prop_oneof![filters(), ".{0,40}"]) {
        if let Ok(filter) = Filter::parse(&text) {
            let filter = filter.with_now(Timestamp::default());
            let again = Filter::parse(&filter.to_string()).map(|again| again.with_now(Timestamp::default()));
            prop_assert_eq!(again.as_ref(), Ok(&filter), "{} became {}", text, filter);
            for leaf in [ENDED, POD, "", "{"] {
                prop_assert_eq!(filter.matches(leaf.as_bytes()), again.as_ref().unwrap().matches(leaf.as_bytes()));
            }
        }
    }

    #[test]
    fn any_text_gives_a_filter_or_an_error_inside_it(text in prop_oneof![filters(), "\\PC{0,60}"], at in 0usize..80) {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(text.get(error.span.range()).is_some());
        }
        let completion = meshtrail_query::completions(&text, at);
        prop_assert!(text.get(completion.replace.range()).is_some());
        for token in tokens(&text) {
            prop_assert!(text.get(token.span.range()).is_some_and(|part| !part.is_empty()));
        }
    }

    #[test]
    fn hints_never_exclude_a_leaf_that_matches(text in filters()) {
        let now = "2026-11-20T15:00:00Z".parse::<Timestamp>().unwrap();
        if let Ok(filter) = Filter::parse(&text).map(|filter| filter.with_now(now)) {
            for leaf in [ENDED, POD, FLOW, PROCESS, FILE, REQUEST, FINDING, ALERT] {
                if filter.matches(leaf.as_bytes()) {
                    prop_assert!(is_selected(&filter, leaf), "{}", filter);
                }
            }
        }
    }
}

/// Whether a reader of a segment with this leaf returns it for the filter's hints.
fn is_selected(filter: &Filter, leaf: &str) -> bool {
    let event: serde_json::Value = serde_json::from_str(leaf).unwrap();
    let family = meshtrail_event::Kind::from(event["kind"].as_str().unwrap()).family();
    let time: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
    let hints = filter.scan_hints();
    let in_time =
        hints.since.is_none_or(|since| time >= since) && hints.until.is_none_or(|until| time < until);
    let canonical = meshtrail_event::canonical_json(&event);
    let segment = encode(family, "main", &[(3, canonical.as_bytes())]).unwrap();
    assert_eq!(segment.stored_whole, 0);
    let reader = SegmentReader::from_bytes("segment", segment.bytes.into()).unwrap();
    let test = |column: &RequiredColumn| {
        let column = column.clone();
        ColumnTest::new(column.column, move |value| column.accepts(value))
    };
    let predicate =
        |required: &Requirement| Predicate { any_of: required.columns.iter().map(test).collect() };
    let predicates = hints.required.iter().map(predicate).collect();
    let selection = Selection { predicates, ..Selection::of(0..10) };
    let rows = futures::executor::block_on(reader.read_page(0, &selection)).unwrap();
    hints.families.contains(&family) && in_time && rows.len() == 1
}

#[test]
fn hints_exclude_leaves_without_a_value_that_could_match() {
    for filter in [
        "actor:bob",
        "person:bob",
        "tag:ci",
        "device:db",
        "target:db",
        "address:10.0.0.1",
        "session:20200101-main-1-1",
    ] {
        assert!(!is_selected(&parse(filter), ENDED), "{filter}");
    }
    for filter in
        ["actor:bob", "address:100.64.0.9", "target:web", "address:10.0.0.1:22 OR actor:bob", "device:n9"]
    {
        assert!(!is_selected(&parse(filter), FLOW), "{filter}");
    }
}
