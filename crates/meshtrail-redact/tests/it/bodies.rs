//! Bodies of requests in every form that a Secret takes, copies of secrets in other objects, and answers.

use base64::{Engine, prelude::BASE64_STANDARD};
use meshtrail_redact::{BodyContext, Fingerprint, NotKept, RedactedBody};
use serde_json::{Value, json};

use crate::arguments::{cases, redactor, texts};
use crate::needles::{assert_none, needles};

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_default()
}

fn context(case: &Value) -> BodyContext<'_> {
    BodyContext {
        content_type: case["content_type"].as_str(),
        content_encoding: None,
        api_group: text(case, "group"),
        resource: text(case, "resource"),
        subresource: text(case, "subresource"),
    }
}

fn body(case: &Value) -> Vec<u8> {
    match case["body_base64"].as_str() {
        Some(encoded) => BASE64_STANDARD.decode(encoded).unwrap(),
        None => text(case, "body").as_bytes().to_vec(),
    }
}

fn redact(case: &Value) -> RedactedBody {
    redactor().body(&context(case), &body(case))
}

fn table() -> Vec<Value> {
    cases(include_str!("data/bodies.jsonl"))
}

/// What is written of a body: all of it, paths and names too.
fn written(redacted: &RedactedBody) -> String {
    let kept = match &redacted.kept {
        Ok(value) => value.to_string(),
        Err(why) => why.to_string(),
    };
    let cuts: Vec<String> =
        redacted.cuts.iter().map(|cut| format!("{} {}", cut.path, cut.fingerprint)).collect();
    format!("{kept}\n{}\n{:?}\n{}", cuts.join("\n"), redacted.names, redacted.fingerprint)
}

/// The fingerprint at a path of one of the table's cases.
fn at(case: &str, path: &str) -> Fingerprint {
    let table = table();
    let row = table.iter().find(|row| text(row, "case").starts_with(case)).unwrap();
    let redacted = redact(row);
    let cut = redacted.cuts.iter().find(|cut| cut.path == path);
    cut.unwrap_or_else(|| panic!("nothing was cut at {path} of {case}: {:?}", redacted.cuts)).fingerprint
}

#[test]
fn bodies_lose_their_secrets_and_nothing_else() {
    let mut complaints = Vec::new();
    for case in table() {
        let redacted = redact(&case);
        let written = written(&redacted);
        let mut complain =
            |what: String| complaints.push(format!("{}: {what}: {written}", text(&case, "case")));
        for form in
            texts(&case["cut"]).into_iter().flat_map(needles).filter(|form| written.contains(form.as_str()))
        {
            complain(format!("{form} is there"));
        }
        for exact in texts(&case["cut_exactly"]).into_iter().filter(|exact| written.contains(exact)) {
            complain(format!("{exact} is there"));
        }
        for keep in texts(&case["keep"]).into_iter().filter(|keep| !written.contains(keep)) {
            complain(format!("{keep} is gone"));
        }
        if case["cuts"].as_u64().is_some_and(|cuts| cuts != redacted.cuts.len() as u64) {
            complain(format!("{} cuts", redacted.cuts.len()));
        }
        if redacted.kept.is_err() && !text(&case, "case").contains("yaml-as-json") {
            complain("it is not kept".to_owned());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_value_has_one_fingerprint_in_every_shape_of_a_secret() {
    let password = at("K3 1", "/data/password");
    assert_eq!(password, at("K3 3", "/stringData/password"));
    assert_eq!(password, at("K3 4", "/1/value"));
    assert_eq!(password, at("K3 6", "/data/password"));
    let before = at("K3 2", "/stringData/password");
    assert_eq!(
        before,
        at(
            "K3 2",
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration#/stringData/password"
        )
    );
    assert_eq!(before, at("K3 4", "/0/value"));
    assert_eq!(at("K3 5", "/stringData/user"), at("K3 6", "/data/user"));
    assert_ne!(password, before);
    // An argument and a query have the fingerprint of a body's value, too.
    let argv = redactor().argv(&["tool", "--password", "heron-3391-Qz"]);
    assert_eq!(argv.cuts[0].fingerprint, password);
}

#[test]
fn what_is_left_of_a_secret_is_the_list_of_what_may_stay() {
    let all = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true, "other": {"a": ["x", 1]},
        "metadata": {"name": "db", "labels": {"team": "shop"}, "annotations": {"note": "x"}, "managedFields": [{"manager": "x"}], "zz": "x"},
        "data": {"a": "eA==", "b": null, "c": 5, "d": {"e": "x"}}, "stringData": {"f": "x"}});
    let context = BodyContext { resource: "secrets", ..BodyContext::default() };
    let redacted = redactor().body(&context, all.to_string().as_bytes());
    let x = redacted.cuts.iter().find(|cut| cut.path == "/stringData/f").unwrap().fingerprint.to_string();
    let number = |text: &[u8]| redactor().key().fingerprint(text).to_string();
    let expected = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true, "other": {"a": [x, number(b"1")]},
        "metadata": {"name": "db", "labels": {"team": "shop"}, "annotations": {"note": x}, "zz": x},
        "data": {"a": x, "b": null, "c": number(b"5"), "d": {"e": x}}, "stringData": {"f": x}});
    assert_eq!(redacted.kept.unwrap(), expected);
    assert_eq!(redacted.names.name.as_deref(), Some("db"));
}

#[test]
fn a_path_leads_to_the_fingerprint_where_a_key_was_cut_too() {
    let body = json!({"kind": "Secret", "data": {"password=x": "eA==", "a/b~token=y": "eQ=="}});
    let redacted = redactor().body(&BodyContext::default(), body.to_string().as_bytes());
    let kept = redacted.kept.unwrap();
    assert_eq!(redacted.cuts.len(), 2);
    for cut in redacted.cuts {
        assert!(cut.path.contains("=fp:"), "{}", cut.path);
        assert_eq!(kept.pointer(&cut.path), Some(&json!(cut.fingerprint.to_string())), "{}", cut.path);
    }
}

#[test]
fn copies_are_found_at_any_depth_and_in_any_wrapping() {
    let secret = "s3cr3t-9Fqw-Zz";
    let manifest = json!({"kind": "Secret", "data": {"p": BASE64_STANDARD.encode(secret)}});
    let twice = json!({"spec": {"manifest": manifest.to_string()}}).to_string();
    let yaml = format!("# {secret}\nkind: Secret\nstringData:\n  p: {secret}\n");
    let gzip = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(manifest.to_string().as_bytes()).unwrap();
        BASE64_STANDARD.encode(encoder.finish().unwrap())
    };
    for copy in [
        manifest.clone(),
        json!(manifest.to_string()),
        json!(twice),
        json!(json!({"x": twice}).to_string()),
        json!(yaml),
        json!(format!("a: 1\n---\n{yaml}")),
        json!(gzip),
        json!(BASE64_STANDARD.encode(&gzip)),
        json!(BASE64_STANDARD.encode(manifest.to_string())),
        json!([{"op": "add", "path": "/stringData/p", "value": secret}]),
        json!({"stringData": {"p": secret}, "data": {"p": BASE64_STANDARD.encode(secret)}}),
        json!({"kind": "SecretList", "items": [{"data": {"p": BASE64_STANDARD.encode(secret)}}]}),
        json!({"kind": "List", "items": [manifest]}),
        json!({"kind": "SecretList", "items": [], "data": {"p": BASE64_STANDARD.encode(secret)}}),
        json!({"kind": "secret", "data": BASE64_STANDARD.encode(secret)}),
        json!({"env": [{"name": "DB_PASSWORD", "value": secret}]}),
        json!({"key": "db.password", "name": "x", "value": secret}),
        json!({"auth": BASE64_STANDARD.encode(format!("app:{secret}"))}),
        json!({"password": {"value": secret}}),
        json!({"tokens": [secret]}),
        json!({"command": ["mysql"], "args": [format!("-p{secret}")]}),
        json!({"image": "registry:5000/library/mysql:8", "args": [format!("-p{secret}")]}),
        json!({"exec": {"command": ["sh", "-c", format!("PGPASSWORD={secret} psql")]}}),
        json!(format!("jdbc:postgresql://db/shop?user=app&password={secret}")),
        json!(format!("-----BEGIN RSA PRIVATE KEY-----\n{secret}\n-----END RSA PRIVATE KEY-----\n")),
        json!({"users": [{"user": {"client-key-data": BASE64_STANDARD.encode(secret)}}]}),
    ] {
        let body = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "annotations": {"a/b": copy.to_string(), "c": copy}},
            "spec": {"x": [copy], "y": copy}});
        let redacted = redactor().body(&BodyContext::default(), body.to_string().as_bytes());
        assert!(redacted.kept.is_ok(), "{:?}", redacted.kept);
        assert_none(&[secret], &written(&redacted));
    }
}

#[test]
fn what_is_no_secret_stays_in_other_objects() {
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "ownerReferences": [{"kind": "Secret", "name": "owner", "uid": "5f0c1d3a"}], "annotations": {"description": "rotates the token of ci", "checksum/config": "0123456789abcdef0123456789abcdef"}},
        "spec": {"replicas": 3, "template": {"spec": {"serviceAccountName": "api", "automountServiceAccountToken": true,
            "imagePullSecrets": [{"name": "registry"}],
            "tolerations": [{"key": "node.example.com/gpu-v100", "operator": "Exists"}],
            "containers": [{"name": "api", "image": "api:42", "command": ["/bin/api"], "args": ["--listen=:8080", "--tls-key=/etc/tls/tls.key"],
                "env": [{"name": "LOG_LEVEL", "value": "debug"}, {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                    {"name": "URL", "value": "https://example.com/a?page=2"}, {"name": "PW", "value": "$(DB_PASSWORD)"}],
                "envFrom": [{"secretRef": {"name": "db"}}]}],
            "volumes": [{"name": "s", "secret": {"secretName": "db", "items": [{"key": "password", "path": "pw"}]}}]}}}});
    let redacted = redactor().body(
        &BodyContext { api_group: "apps", resource: "deployments", ..BodyContext::default() },
        body.to_string().as_bytes(),
    );
    assert_eq!(redacted.kept.unwrap(), body);
    assert_eq!(redacted.cuts, []);
}

#[test]
fn a_body_that_is_not_understood_is_not_kept_in_part() {
    let secret = "s3cr3t-9Fqw-Zz";
    let long =
        format!("{{\"kind\":\"Secret\",\"stringData\":{{\"p\":\"{secret}{}\"}}}}", "x".repeat(5 << 20));
    let deep = format!("{}\"{secret}\"{}", "[".repeat(500), "]".repeat(500));
    let anchors = |text: String, at: u32| format!("{text}b{at}: &b{at} [*b{0}, *b{0}]\n", at - 1);
    let bomb = (1..40).fold(format!("b0: &b0 [{secret}]\n"), anchors);
    let many = json!({"kind": "Secret", "stringData": (0..20_000).map(|at| (at.to_string(), json!(secret))).collect::<serde_json::Map<_, _>>()});
    let mut protobuf = b"k8s\0\n\x10\n\x02v1\x12\nNewSecrets\x12\x12\x0a\x10".to_vec();
    protobuf.extend_from_slice(secret.as_bytes());
    for (content_type, encoding, body) in [
        (Some("application/json"), None, format!("stringData: {{p: {secret}}}").into_bytes()),
        (Some("application/json"), Some("gzip"), format!("{{\"p\":\"{secret}\"}}").into_bytes()),
        (Some("application/cbor"), None, secret.as_bytes().to_vec()),
        (Some("application/vnd.kubernetes.protobuf"), None, secret.as_bytes().to_vec()),
        (Some("application/vnd.kubernetes.protobuf"), None, protobuf),
        (Some("application/apply-patch+yaml"), None, format!("a: [{secret}").into_bytes()),
        (Some("application/apply-patch+yaml"), None, b"\xff\xfe".to_vec()),
        (Some("application/yaml"), None, bomb.into_bytes()),
        (None, None, long.into_bytes()),
        (None, None, deep.into_bytes()),
        (None, None, many.to_string().into_bytes()),
        (None, None, Vec::new()),
    ] {
        let context = BodyContext {
            content_type,
            content_encoding: encoding,
            resource: "secrets",
            ..BodyContext::default()
        };
        let redacted = redactor().body(&context, &body);
        assert!(redacted.kept.is_err() && redacted.cuts.is_empty(), "{content_type:?}");
        assert_none(&[secret], &written(&redacted));
    }
}

#[test]
fn of_an_answer_only_names_and_reasons_are_kept() {
    for case in cases(include_str!("data/answers.jsonl")) {
        let context = BodyContext { content_type: Some("application/json"), ..context(&case) };
        let facts = redactor().answer(&context, &["secrets", "shop", "db"], text(&case, "body").as_bytes());
        let written = format!("{facts:?}");
        assert_none(&texts(&case["cut"]), &written);
        for exact in texts(&case["cut_exactly"]) {
            assert!(!written.contains(exact), "{exact} is there: {written}");
        }
        match (case["status"].as_u64().unwrap(), facts) {
            (201, Err(why)) => assert_eq!(why, NotKept::Credential),
            (201, Ok(facts)) => assert_eq!(facts.names.name.as_deref(), Some("db2")),
            (status, facts) => {
                let facts = facts.unwrap();
                assert_eq!(facts.code, Some(status));
                assert!(
                    facts.reason.is_some() && facts.message.is_some_and(|message| message.contains('…')),
                    "{written}"
                );
            }
        }
    }
    let exists = r#"{"kind":"Status","status":"Failure","message":"secrets \"db\" already exists","reason":"AlreadyExists","code":409}"#;
    let facts = redactor().answer(&BodyContext::default(), &["db"], exists.as_bytes()).unwrap();
    assert_eq!(facts.message.as_deref(), Some("secrets \"db\" already exists"));
}
