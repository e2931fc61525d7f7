//! Questions that people asked in the field, with the rule that decides and the rules that almost did.

use std::time::Duration;

use meshtrail_policy::{
    AttributeValue, Attributes, CheckPeriod, ControlPlane, Decision, Device, Directory, LocalUser,
    LoginAnswer, LoginQuestion, Mesh, Person, Policy, Uid, Unmet,
};
use serde_json::Value;

use crate::mesh_file::{read, read_json, texts};

/// The mesh of the questions; the posture of the source is that of the question.
fn mesh(vectors: &Value, question: &Value) -> Mesh {
    let attributes = match question["posture"].as_object() {
        Some(values) => Attributes {
            values: values.iter().map(|(key, value)| (key.clone(), attribute(value))).collect(),
            complete: true,
        },
        None => Attributes::default(),
    };
    let person = |(login, role): (&String, &Value)| Person {
        login: login.clone(),
        role: Some(role.as_str().unwrap().parse().unwrap()),
        ..Person::default()
    };
    let device = |(name, device): (&String, &Value)| Device {
        name: name.clone(),
        owner: device["owner"].as_str().map(str::to_owned),
        tags: texts(&device["tags"]).into_iter().collect(),
        attributes: attributes.clone(),
        ..Device::default()
    };
    Mesh::new(Directory {
        people: vectors["people"].as_object().unwrap().iter().map(person).collect(),
        devices: vectors["devices"].as_object().unwrap().iter().map(device).collect(),
        ..Directory::default()
    })
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Bool(on) => AttributeValue::Bool(*on),
        other => AttributeValue::Text(other.as_str().unwrap().to_owned()),
    }
}

fn answer(vectors: &Value, question: &Value) -> LoginAnswer {
    let mesh = mesh(vectors, question);
    let policy = Policy::compile(&read("logins-policy.hujson"), ControlPlane::Tailscale, &mesh).unwrap();
    let device = |member: &str| mesh.find(question[member].as_str().unwrap())[0];
    let name = question["user"].as_str().unwrap();
    let uid = match vectors["local_users"][name].as_u64() {
        Some(uid) => Uid::Known(u32::try_from(uid).unwrap()),
        None => Uid::Absent,
    };
    let hours =
        question["confirmed"][0]["ago"].as_str().map(|ago| ago.trim_end_matches('h').parse::<u64>().unwrap());
    policy.login(&LoginQuestion {
        from: device("from"),
        to: device("to"),
        user: LocalUser { name, uid },
        confirmed: hours.map(|hours| Duration::from_secs(hours * 3600)),
    })
}

#[test]
fn field_questions_get_the_decision_its_rule_and_the_rules_that_almost_matched() {
    let vectors = read_json("logins.json");
    for question in vectors["questions"].as_array().unwrap() {
        let answer = answer(&vectors, question);
        assert_eq!(answer.decision.to_string(), question["decision"].as_str().unwrap(), "{question}");
        let rule = answer.rule.as_ref().map(|rule| rule.number as u64);
        assert_eq!(rule, question["rule"].as_u64(), "{question}");
        if let Some(almost) = question["almost"].as_array() {
            let others: Vec<u64> = answer.others.iter().map(|rule| rule.site.number as u64).collect();
            assert_eq!(
                others,
                almost.iter().map(|rule| rule.as_u64().unwrap()).collect::<Vec<_>>(),
                "{question}"
            );
        }
        let recorders =
            answer.recording.as_ref().map(|recording| recording.recorders.clone()).unwrap_or_default();
        assert_eq!(recorders, texts(&question["recorders"]), "{question}");
    }
}

#[test]
fn a_rule_that_would_record_and_does_not_decide_is_named_with_its_recorders() {
    let vectors = read_json("logins.json");
    let answer = answer(&vectors, &vectors["questions"][0]);
    assert_eq!(answer.period, Some(CheckPeriod::For(Duration::from_secs(3600))));
    let [other] = &answer.others[..] else { panic!("{answer:?}") };
    assert_eq!(
        other.unmet[0].to_string(),
        "it matches too, but ssh rule 3 (line 14) comes first: it does not record with rec-1"
    );
}

#[test]
fn what_cannot_be_evaluated_denies_and_is_named() {
    let vectors = read_json("logins.json");
    let unknown = answer(&vectors, &vectors["questions"][5]);
    let open: Vec<String> =
        unknown.open_conditions().map(|(rule, unmet)| format!("{rule}: {unmet}")).collect();
    assert_eq!(
        open,
        [
            "ssh rule 5 (line 18): the device's posture can't be evaluated: posture:managed: node:os == 'macos' is required, \
          and node:os is not known"
        ]
    );
    let known = answer(&vectors, &vectors["questions"][6]);
    assert_eq!(known.open_conditions().count(), 0, "a posture that is known to fail leaves nothing open");
    assert_eq!(
        known.others[0].unmet[0].to_string(),
        "the device does not have the posture: posture:managed: node:os == 'macos' is required, and it is 'linux'"
    );
}

#[test]
fn members_roles_and_uids_that_are_not_known_deny_with_their_names() {
    let mesh = Mesh::new(Directory {
        people: vec![Person { login: "ana@example.com".to_owned(), ..Person::default() }],
        devices: vec![
            Device {
                name: "laptop".to_owned(),
                owner: Some("ana@example.com".to_owned()),
                ..Device::default()
            },
            Device { name: "web".to_owned(), tags: ["tag:web".to_owned()].into(), ..Device::default() },
        ],
        ..Directory::default()
    });
    let decide = |rule: &str, user: LocalUser<'_>| {
        let text = format!(r#"{{"tagOwners": {{"tag:web": []}}, "ssh": [{rule}]}}"#);
        let policy = Policy::compile(&text, ControlPlane::Tailscale, &mesh).unwrap();
        policy.login(&LoginQuestion::new(mesh.find("laptop")[0], mesh.find("web")[0], user))
    };
    for (rule, user, unmet) in [
        (
            r#"{"action": "accept", "src": ["ana@example.com"], "dst": ["tag:web"], "users": ["root"], "until": "noon"}"#,
            LocalUser::unknown("root"),
            Unmet::UnknownMembers { members: vec!["until".to_owned()] },
        ),
        (
            r#"{"action": "accept", "src": ["autogroup:admin"], "dst": ["tag:web"], "users": ["root"]}"#,
            LocalUser::unknown("root"),
            Unmet::Membership { sources: vec!["autogroup:admin".to_owned()] },
        ),
        (
            r#"{"action": "accept", "src": ["group:sec@example.com"], "dst": ["tag:web"], "users": ["root"]}"#,
            LocalUser::unknown("root"),
            Unmet::Membership { sources: vec!["group:sec@example.com".to_owned()] },
        ),
        (
            r#"{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"], "users": ["autogroup:nonroot"]}"#,
            LocalUser::unknown("deploy"),
            Unmet::UidUnknown,
        ),
    ] {
        let answer = decide(rule, user);
        assert_eq!(answer.decision, Decision::Deny, "{rule}");
        assert_eq!(answer.others[0].unmet, [unmet], "{rule}");
        assert_eq!(answer.open_conditions().count(), 1, "{rule}");
    }
}
