//! The header line: the recording node's claims about the session.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Anomalies, AnomalyKind, MAX_HEADER, Size};

/// Why a first line is no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HeaderError {
    /// The length as far as it was counted.
    #[error("header: {length} bytes, at most {MAX_HEADER} are read")]
    TooLong { length: u64 },
    #[error("header: not JSON: {reason}")]
    NotJson { reason: String },
    #[error("header: expected an object, found {found}")]
    NotAnObject { found: &'static str },
    #[error("header.{field}: missing")]
    Missing { field: &'static str },
    #[error("header.{field}: expected {expected}, found {found}")]
    Wrong { field: &'static str, expected: &'static str, found: String },
}

/// The target of a session in Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// The pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The container; may be empty.
    pub container: String,
    /// `exec` or `attach`.
    pub session_type: String,
}

/// A header. Everything in it is reported by the recording node itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Columns as sent; 0 without a terminal.
    pub width: u64,
    /// Rows as sent; 0 without a terminal.
    pub height: u64,
    /// The start by the node's clock, in Unix seconds.
    pub timestamp: Option<i64>,
    /// The command; absent for a shell. The sender does not keep its quoting.
    pub command: Option<String>,
    /// The connecting node's name.
    pub src_node: Option<String>,
    /// Its stable id.
    pub src_node_id: Option<String>,
    /// Its tags, if it is tagged.
    pub src_node_tags: Vec<String>,
    /// Its user's numeric id, if it is not tagged.
    pub src_node_user_id: Option<i64>,
    /// Its user's login name, if it is not tagged.
    pub src_node_user: Option<String>,
    /// The terminal type.
    pub term: Option<String>,
    /// The requested user name.
    pub ssh_user: Option<String>,
    /// The local account used.
    pub local_user: Option<String>,
    /// The SSH connection, which its sessions share.
    pub connection_id: Option<String>,
    /// Present for sessions that came through the Kubernetes API proxy.
    pub kubernetes: Option<Kubernetes>,
}

impl Header {
    /// Parses a header line. Only a line that is no object, or has a wrong `version`, is an error. A member of the
    /// wrong type is noted and read as absent.
    pub fn parse(line: &[u8], anomalies: &mut Anomalies) -> Result<Header, HeaderError> {
        if line.len() > MAX_HEADER {
            return Err(HeaderError::TooLong { length: line.len() as u64 });
        }
        let text = String::from_utf8_lossy(line);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            anomalies.note(AnomalyKind::NotUtf8, 1, || "header".into());
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| HeaderError::NotJson { reason: error.to_string() })?;
        let Value::Object(members) = value else {
            return Err(HeaderError::NotAnObject { found: type_of(&value) });
        };
        check_version(&members)?;
        Ok(Members { members: &members, path: "header", anomalies }.header())
    }

    /// The terminal's size at playback.
    pub fn size(&self) -> Size {
        Size::playable(self.width, self.height)
    }

    /// Whether a terminal was attached.
    pub fn has_terminal(&self) -> bool {
        self.width > 0 && self.height > 0
    }

    /// The repaired header as an asciicast v2 line without its line feed.
    pub fn to_playable(&self) -> String {
        self.to_playable_in(self.size())
    }

    /// The repaired header with this terminal size.
    pub fn to_playable_in(&self, size: Size) -> String {
        let mut members = Map::new();
        members.insert("version".into(), 2.into());
        members.insert("width".into(), size.cols.into());
        members.insert("height".into(), size.rows.into());
        if let Some(timestamp) = self.timestamp {
            members.insert("timestamp".into(), timestamp.into());
        }
        if let Some(command) = &self.command {
            members.insert("command".into(), command.as_str().into());
        }
        if let Some(term) = &self.term {
            members.insert("env".into(), serde_json::json!({ "TERM": term }));
        }
        Value::Object(members).to_string()
    }
}

fn check_version(members: &Map<String, Value>) -> Result<(), HeaderError> {
    match members.get("version") {
        Some(Value::Number(version)) if version.as_f64() == Some(2.0) => Ok(()),
        Some(other) => {
            Err(HeaderError::Wrong { field: "version", expected: "2", found: shortened(&other.to_string()) })
        }
        None => Err(HeaderError::Missing { field: "version" }),
    }
}

/// Reads members tolerantly: absent, null and empty are the same, a wrong type is noted.
struct Members<'m, 'a> {
    members: &'m Map<String, Value>,
    path: &'static str,
    anomalies: &'a mut Anomalies,
}

impl<'m> Members<'m, '_> {
    fn header(mut self) -> Header {
        let kubernetes = self.object("kubernetes").map(|members| {
            let mut inner = Members { members, path: "header.kubernetes", anomalies: self.anomalies };
            Kubernetes {
                pod: inner.text("PodName").unwrap_or_default(),
                namespace: inner.text("Namespace").unwrap_or_default(),
                container: inner.text("Container").unwrap_or_default(),
                session_type: inner.text("SessionType").unwrap_or_default(),
            }
        });
        let term = self.object("env").and_then(|members| {
            Members { members, path: "header.env", anomalies: self.anomalies }.text("TERM")
        });
        Header {
            width: self.count("width"),
            height: self.count("height"),
            timestamp: self.integer("timestamp"),
            command: self.text("command"),
            src_node: self.text("srcNode"),
            src_node_id: self.text("srcNodeID"),
            src_node_tags: self.texts("srcNodeTags"),
            src_node_user_id: self.integer("srcNodeUserID"),
            src_node_user: self.text("srcNodeUser"),
            term,
            ssh_user: self.text("sshUser"),
            local_user: self.text("localUser"),
            connection_id: self.text("connectionID"),
            kubernetes,
        }
    }

    fn present(&self, field: &str) -> Option<&'m Value> {
        self.members.get(field).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, field: &str, expected: &str, found: &Value) {
        let path = self.path;
        self.anomalies.note(AnomalyKind::HeaderMember, 1, || {
            format!("{path}.{field}: expected {expected}, found {}", type_of(found))
        });
    }

    fn object(&mut self, field: &str) -> Option<&'m Map<String, Value>> {
        match self.present(field)? {
            Value::Object(members) => Some(members),
            other => {
                self.wrong(field, "an object", other);
                None
            }
        }
    }

    fn text(&mut self, field: &str) -> Option<String> {
        match self.present(field)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            other => {
                self.wrong(field, "a string", other);
                None
            }
        }
    }

    fn texts(&mut self, field: &str) -> Vec<String> {
        let Some(value) = self.present(field) else { return Vec::new() };
        let list: Option<Vec<String>> = value
            .as_array()
            .map(|list| list.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect());
        let complete = value.as_array().map(Vec::len) == list.as_ref().map(Vec::len);
        if !complete || list.is_none() {
            self.wrong(field, "a list of strings", value);
        }
        list.unwrap_or_default()
    }

    fn integer(&mut self, field: &str) -> Option<i64> {
        let value = self.present(field)?;
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
        let whole = value
            .as_i64()
            .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15).map(|n| n as i64));
        if whole.is_none() {
            self.wrong(field, "an integer", value);
        }
        whole
    }

    /// A width or height. Zero is valid, for a session without a terminal; a negative or non-numeric value is noted.
    fn count(&mut self, field: &str) -> u64 {
        let Some(value) = self.integer(field) else { return 0 };
        u64::try_from(value).unwrap_or_else(|_| {
            let path = self.path;
            self.anomalies.note(AnomalyKind::Size, 1, || format!("{path}.{field}: {value} is negative"));
            0
        })
    }
}

/// The JSON type of a value, for error messages.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// At most 40 characters of a peer's text, for an error message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (Result<Header, HeaderError>, Anomalies) {
        let mut anomalies = Anomalies::default();
        (Header::parse(line.as_bytes(), &mut anomalies), anomalies)
    }

    #[test]
    fn an_ssh_header_is_read_whole() {
        let (header, anomalies) = parse(
            r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"srcNode":"laptop.tail.example",
            "srcNodeID":"7","srcNodeUserID":3,"srcNodeUser":"alice@example.com","env":{"TERM":"xterm"},
            "sshUser":"root","localUser":"root","connectionID":"ssh-conn-1","novel":[1]}"#,
        );
        let header = header.unwrap();
        assert!(anomalies.is_empty(), "{anomalies:?}");
        assert_eq!(header.src_node_user.as_deref(), Some("alice@example.com"));
        assert_eq!(header.src_node_user_id, Some(3));
        assert_eq!(header.term.as_deref(), Some("xterm"));
        assert!(header.has_terminal() && header.kubernetes.is_none());
    }

    #[test]
    fn a_kubernetes_header_with_null_env_and_no_size_is_read() {
        let (header, anomalies) = parse(
            r#"{"version":2,"env":null,"sshUser":"","localUser":"","connectionID":"","command":"sh -c id",
            "kubernetes":{"PodName":"web-0","Namespace":"prod","Container":"","SessionType":"exec"}}"#,
        );
        let header = header.unwrap();
        assert!(anomalies.is_empty(), "{anomalies:?}");
        let kubernetes = header.kubernetes.as_ref().unwrap();
        assert_eq!((kubernetes.pod.as_str(), kubernetes.session_type.as_str()), ("web-0", "exec"));
        assert_eq!(header.size(), Size::DEFAULT);
        assert_eq!(header.ssh_user, None);
    }

    #[test]
    fn errors_name_the_field_and_what_was_found() {
        let error = |line: &str| parse(line).0.unwrap_err().to_string();
        assert_eq!(error(r#"{"version":3}"#), "header.version: expected 2, found 3");
        assert_eq!(error("{}"), "header.version: missing");
        assert_eq!(error("[0,\"o\",\"x\"]"), "header: expected an object, found a list");
        assert!(error("{\"version\":2").starts_with("header: not JSON: EOF"));
        let long = " ".repeat(MAX_HEADER + 1);
        assert_eq!(error(&long), "header: 65537 bytes, at most 65536 are read");
    }

    #[test]
    fn a_member_of_the_wrong_type_is_noted_and_read_as_absent() {
        let (header, anomalies) = parse(r#"{"version":2,"srcNode":7,"width":-1,"srcNodeTags":["tag:a",1]}"#);
        let header = header.unwrap();
        assert_eq!((header.src_node, header.width), (None, 0));
        let noted = anomalies.get(AnomalyKind::HeaderMember).unwrap();
        assert_eq!(
            (noted.count, noted.detail.as_str()),
            (2, "header.srcNode: expected a string, found a number")
        );
    }
}
