//! Paths and queries of requests: `kubectl exec`, tokens in parameters.

use meshtrail_redact::{exec_argv, shell_text};
use serde_json::{Map, Value, json};

use crate::arguments::{cases, redactor, texts};
use crate::needles::assert_none;

/// Arguments as a table shows them: what is not UTF-8 escaped.
fn shown(argv: &[Vec<u8>]) -> Vec<String> {
    let show = |argument: &Vec<u8>| {
        argument.utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
            text
        })
    };
    argv.iter().map(show).collect()
}

/// The parameters of a query as Go's `url.Query` has them.
fn parameters(query: &str) -> Map<String, Value> {
    let mut parameters = Map::new();
    for pair in query.split('&').filter(|pair| !pair.contains(';') && !pair.contains("%zz")) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            let bytes = text.as_bytes();
            let mut out = Vec::new();
            let mut at = 0;
            while at < bytes.len() {
                if bytes[at] == b'%' {
                    out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
                    at += 3;
                } else {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
            String::from_utf8_lossy(&out).into_owned()
        };
        let values = parameters.entry(decode(name)).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(Value::String(decode(value)));
    }
    parameters
}

#[test]
fn the_command_of_an_exec_is_known_argument_by_argument_and_has_no_secret() {
    for case in cases(include_str!("data/exec.jsonl")) {
        let target = case["target"].as_str().unwrap();
        let (path, query) = target.split_once('?').unwrap();
        let argv = exec_argv(query);
        assert_eq!(shown(&argv), texts(&case["argv"]), "{target}");
        if let Some(text) = case["text"].as_str() {
            let quoted = shell_text(&shown(&argv));
            assert!(quoted == text || texts(&case["argv"]).iter().any(|word| word.contains('&')), "{quoted}");
        }
        let secrets = texts(&case["must_not"]);
        let redacted = redactor().argv(&argv);
        let whole = redactor().target(target).text;
        let query = Value::Object(redactor().query(&parameters(query))).to_string();
        for text in [&redacted.text(), &redacted.argv.join("\n"), &whole, &query] {
            assert_none(&secrets, text);
        }
        assert!(whole.starts_with(path), "{whole}");
        for holds in texts(&case["holds"]) {
            assert!(redacted.text().contains(holds), "{holds} is gone: {}", redacted.text());
        }
        if secrets.is_empty() && !target.contains(';') && !target.contains("%zz") {
            assert_eq!(whole, target, "what has no secret goes on as it was sent");
        }
    }
}

#[test]
fn an_argument_has_the_same_fingerprint_in_a_query_and_in_a_list() {
    let argv = redactor().argv(&["run", "--password=a b&c"]);
    let target = redactor().target("/x/exec?command=run&command=--password%3Da+b%26c");
    assert_eq!(target.fingerprints, [argv.cuts[0].fingerprint]);
    assert_eq!(target.text, format!("/x/exec?command=run&command=--password%3D{}", argv.cuts[0].fingerprint));
}

#[test]
fn parameters_and_paths_lose_their_secrets_and_nothing_else() {
    for (target, secrets, keeps) in [
        (
            "/api/v1/pods?token=s3cr3t-9Fqw&limit=5",
            &["s3cr3t-9Fqw"][..],
            &["/api/v1/pods?token=", "&limit=5"][..],
        ),
        ("/x?access_token=a%2Fb%20s3cr3t&y=1", &["a/b s3cr3t", "s3cr3t"], &["&y=1"]),
        (
            "/api/v1/namespaces/shop/services/https:vault-secret:8200/proxy/login?password=s3cr3t-9Fqw",
            &["s3cr3t-9Fqw"],
            &["https:vault-secret:8200/proxy/login"],
        ),
        ("/api/v1/namespaces/shop/secrets/db?fieldManager=ops", &[], &["secrets/db?fieldManager=ops"]),
        (
            "/x?labelSelector=app%3Dweb&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0",
            &[],
            &["labelSelector=app%3Dweb", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0"],
        ),
        (
            "/x?to=https%3A%2F%2Fann%3As3cr3t-9Fqw%40host%2Fy",
            &["s3cr3t-9Fqw"],
            &["https%3A%2F%2Fann%3A", "%40host%2Fy"],
        ),
        (
            "https://ann:s3cr3t-9Fqw@kube.mesh/api?x=1",
            &["s3cr3t-9Fqw"],
            &["https://ann:", "@kube.mesh/api?x=1"],
        ),
        ("/x;token=s3cr3t-9Fqw/y", &["s3cr3t-9Fqw"], &["/x;token=", "/y"]),
        ("/x?command=echo;command=--token=s3cr3t-9Fqw&stdout=true", &["s3cr3t-9Fqw"], &["&stdout=true"]),
        (
            "/x?Command=tool&Command=--token&Command=s3cr3t-9Fqw",
            &["s3cr3t-9Fqw"],
            &["Command=tool&Command=--token"],
        ),
        ("/hooks/xoxb-s3cr3t-9Fqw/y", &["xoxb-s3cr3t-9Fqw"], &["/hooks/", "/y"]),
        ("", &[], &[""]),
        ("?", &[], &["?"]),
        ("/x?&&=&a", &[], &["/x?&&=&a"]),
    ] {
        let text = redactor().target(target).text;
        assert_none(secrets, &text);
        for keep in keeps {
            assert!(text.contains(keep), "{keep} is gone: {text}");
        }
    }
}
