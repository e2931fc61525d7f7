//! The tailnet of the stand-in, and the faults that tests inject.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::log::Log;

/// The tailnet that the answers describe.
#[derive(Debug)]
pub struct World {
    /// The time of its clock, in nanoseconds since the epoch; without one, the wall clock.
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
    /// The DNS configuration.
    pub dns: Value,
    /// The log stream of the configuration audit log, where one is set up.
    pub stream: Option<Value>,
    /// Faults that are injected once, in this order, each at the next request whose path contains the text.
    pub next_faults: VecDeque<(String, InjectedFault)>,
    /// Faults that are injected at every request whose path contains the text.
    pub standing_faults: Vec<(String, InjectedFault)>,
    /// The scopes of the OAuth client.
    pub scopes: String,
    /// Lifetime of an access token, in seconds.
    pub token_lifetime: u64,
    /// Number of issued access tokens.
    pub tokens: u64,
    /// Access tokens up to this number are revoked.
    pub revoked_tokens: u64,
    /// Every request: method, path and query.
    pub requests: Vec<String>,
}

/// A fault of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InjectedFault {
    /// The connection breaks after half of the body.
    CutBody,
    /// The body is cut in half, in a complete HTTP message.
    HalfJson,
    /// Records in another order.
    Shuffled,
    /// Every record twice.
    Duplicated,
    /// This status, with `Retry-After` in seconds where given.
    Status(u16, Option<u64>),
    /// A web page in place of JSON, with status 200.
    WebPage,
    /// One byte, then nothing.
    Stall,
    /// An unknown member of this name in every record.
    ExtraMember(String),
    /// Every record without this member.
    MissingMember(String),
    /// The answer without its list.
    NoList,
    /// A list that is `null`.
    NullList,
    /// This many additional bytes in the body.
    Oversized(usize),
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
            next_faults: VecDeque::new(),
            standing_faults: Vec::new(),
            scopes: "all:read".to_owned(),
            token_lifetime: 3_600,
            tokens: 0,
            revoked_tokens: 0,
            requests: Vec::new(),
        }
    }
}

impl World {
    /// The time of its clock, in nanoseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| {
            let now = jiff::Timestamp::now().as_nanosecond();
            i64::try_from(now).unwrap_or(i64::MAX)
        })
    }

    /// Injects a fault into the next request whose path contains `path`.
    pub fn inject(&mut self, path: &str, fault: InjectedFault) {
        self.next_faults.push_back((path.to_owned(), fault));
    }

    /// Whether the OAuth client has this scope for reading.
    pub(crate) fn may_read(&self, scope: &str) -> bool {
        let read = format!("{scope}:read");
        self.scopes.split(' ').any(|has| has == "all:read" || has == scope || has == read)
    }

    /// The keys that the OAuth client can list: only the kinds of its scopes.
    pub(crate) fn visible_keys(&self) -> Vec<Value> {
        let scope = |key: &Value| match key["keyType"].as_str() {
            Some("client") => "oauth_keys",
            Some("api") => "api_access_tokens",
            Some("federated") => "federated_keys",
            _ => "auth_keys",
        };
        self.keys.iter().filter(|key| self.may_read(scope(key))).cloned().collect()
    }

    /// The fault of this request.
    pub(crate) fn next_fault(&mut self, path: &str) -> Option<InjectedFault> {
        if let Some(at) = self.next_faults.iter().position(|(part, _)| path.contains(part.as_str())) {
            return self.next_faults.remove(at).map(|(_, fault)| fault);
        }
        let standing = self.standing_faults.iter().find(|(part, _)| path.contains(part.as_str()));
        standing.map(|(_, fault)| fault.clone())
    }

    /// The number of requests whose method and path contain `path`.
    pub fn request_count(&self, path: &str) -> usize {
        self.requests.iter().filter(|request| request.contains(path)).count()
    }
}
