//! What the stand-in knows, and how it misbehaves.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::log::Log;

/// The tailnet that is answered from.
#[derive(Debug)]
pub struct World {
    /// What its clock shows, in nanoseconds since the epoch; none follows the wall's.
    pub clock: Option<i64>,
    /// The configuration audit log.
    pub audit: Log,
    /// Network flow logs, by the time they were logged.
    pub flows: Log,
    /// `devices`, as the API lists them.
    pub devices: Vec<Value>,
    /// `users`.
    pub users: Vec<Value>,
    /// `keys`.
    pub keys: Vec<Value>,
    /// `webhooks`.
    pub webhooks: Vec<Value>,
    /// The policy file.
    pub policy: String,
    /// The settings.
    pub settings: Value,
    /// DNS, all in one.
    pub dns: Value,
    /// The log stream of the configuration audit log, where one is set up.
    pub stream: Option<Value>,
    /// What is done wrong next, in this order; a request of another path waits for its turn.
    pub misdeeds: VecDeque<(String, Misdeed)>,
    /// What is done wrong every time, by a part of the path.
    pub habits: Vec<(String, Misdeed)>,
    /// What the OAuth client may do.
    pub scopes: String,
    /// How long an access token lives, in seconds.
    pub token_lives: u64,
    /// Access tokens given out.
    pub tokens: u64,
    /// Access tokens that are taken no more, by number.
    pub revoked_tokens: u64,
    /// Every request: method, path and query.
    pub requests: Vec<String>,
}

/// Something an API should not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misdeed {
    /// The connection breaks off after half of the body.
    BreaksOff,
    /// The body is half of what it should be, and looks whole.
    HalfJson,
    /// Records in another order.
    Shuffled,
    /// Every record twice.
    Doubled,
    /// This status, with `Retry-After` in seconds where given.
    Status(u16, Option<u64>),
    /// A web page in place of JSON, with status 200.
    WebPage,
    /// One byte, then nothing.
    GoesSilent,
    /// A member of this name, which nobody knows, in every record.
    Unknown(String),
    /// Every record without this member.
    Without(String),
    /// The answer without its list.
    NoList,
    /// A list that is `null`.
    NullList,
    /// More than this many bytes of answer.
    Swollen(usize),
}

impl Default for World {
    fn default() -> Self {
        World {
            clock: None,
            audit: Log::default(),
            flows: Log::default(),
            devices: Vec::new(),
            users: Vec::new(),
            keys: Vec::new(),
            webhooks: Vec::new(),
            policy: "// stand-in\n{\"acls\": []}\n".to_owned(),
            settings: json!({"devicesApprovalOn": true, "networkFlowLoggingOn": true, "postureIdentityCollectionOn": null}),
            dns: json!({
                "nameservers": [{"address": "192.0.2.53"}], "splitDNS": {"corp.example.com": [{"address": "10.0.0.53"}]},
                "searchPaths": [], "preferences": {"overrideLocalDNS": false, "magicDNS": true},
            }),
            stream: None,
            misdeeds: VecDeque::new(),
            habits: Vec::new(),
            scopes: "all:read".to_owned(),
            token_lives: 3_600,
            tokens: 0,
            revoked_tokens: 0,
            requests: Vec::new(),
        }
    }
}

impl World {
    /// What its clock shows.
    pub fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| {
            let now = jiff::Timestamp::now().as_nanosecond();
            i64::try_from(now).unwrap_or(i64::MAX)
        })
    }

    /// Does this wrong at the next request of a path that holds `path`.
    pub fn misbehave(&mut self, path: &str, misdeed: Misdeed) {
        self.misdeeds.push_back((path.to_owned(), misdeed));
    }

    /// Whether the OAuth client may read what this scope is for.
    pub(crate) fn sees(&self, scope: &str) -> bool {
        let read = format!("{scope}:read");
        self.scopes.split(' ').any(|has| has == "all:read" || has == scope || has == read)
    }

    /// The keys that the OAuth client sees: only the kinds that its scopes unlock.
    pub(crate) fn seen_keys(&self) -> Vec<Value> {
        let scope = |key: &Value| match key["keyType"].as_str() {
            Some("client") => "oauth_keys",
            Some("api") => "api_access_tokens",
            Some("federated") => "federated_keys",
            _ => "auth_keys",
        };
        self.keys.iter().filter(|key| self.sees(scope(key))).cloned().collect()
    }

    /// What is done wrong with this request.
    pub(crate) fn misdeed(&mut self, path: &str) -> Option<Misdeed> {
        if let Some(at) = self.misdeeds.iter().position(|(part, _)| path.contains(part.as_str())) {
            return self.misdeeds.remove(at).map(|(_, misdeed)| misdeed);
        }
        let habit = self.habits.iter().find(|(part, _)| path.contains(part.as_str()));
        habit.map(|(_, misdeed)| misdeed.clone())
    }

    /// How many requests there were of paths that hold `path`.
    pub fn asked(&self, path: &str) -> usize {
        self.requests.iter().filter(|request| request.contains(path)).count()
    }
}
