//! Secrets in bodies of Kubernetes' API: objects as JSON, YAML and protobuf, patches, lists, and manifests within texts.
//!
//! - A body is read into JSON first, whatever it was, so that one set of rules ([`object`]) cuts secrets, and a value has the
//!   same fingerprint in each form.
//! - What can't be read is not kept, not even in part: a body that is redacted is valid JSON, or there is none.
//! - Sizes, depths and numbers are bounded by [`limits`].

mod embedded;
mod limits;
mod names;
mod object;
mod patch;
mod protobuf;
mod yaml;

use serde_json::Value;

pub use limits::MAX_BODY;
pub use names::ObjectNames;

use crate::fingerprint::Fingerprint;
use crate::redactor::{Cut, Redactor};
use object::{Hint, Walk};

/// What is known of a body from its request.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyContext<'a> {
    /// The `Content-Type` header; without one a body is JSON.
    pub content_type: Option<&'a str>,
    /// The `Content-Encoding` header. Compressed bodies are not kept: API servers refuse them.
    pub content_encoding: Option<&'a str>,
    /// The API group of the request's path; empty for the core group.
    pub api_group: &'a str,
    /// The resource of the request's path, in the plural.
    pub resource: &'a str,
    /// The subresource of the request's path; empty without one.
    pub subresource: &'a str,
}

/// A body without secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct RedactedBody {
    /// What is left, as JSON.
    pub kept: Result<Value, NotKept>,
    /// The fingerprint of the whole body as it was received, for `detail.body_fingerprint`: an unkeyed hash of a body whose
    /// only secret is short gives the secret away.
    pub fingerprint: Fingerprint,
    /// Every secret that was cut, or that stood within a text which was cut. A path into a text within the body has a `#`
    /// behind the text's own path: `/metadata/annotations/x#/data/password`.
    pub cuts: Vec<Cut>,
    /// Which object it is.
    pub names: ObjectNames,
    /// Fields of protobuf that are not understood and not kept.
    pub unknown_fields: u64,
}

/// Why a body, or an answer, is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NotKept {
    #[error("the body is empty")]
    Empty,
    #[error("the body has {bytes} bytes; at most {MAX_BODY} are read")]
    TooLong { bytes: usize },
    #[error("the body is compressed ({encoding})")]
    Compressed { encoding: String },
    #[error("the body is {content_type}, which is not understood")]
    Format { content_type: String },
    #[error("the body is not {format}")]
    Unreadable { format: &'static str },
    #[error("the body is a {kind} of {api_version} in protobuf, which is not understood")]
    Kind { api_version: String, kind: String },
    #[error("the body has too many values or secrets, or is nested too deep")]
    TooMuch,
    #[error("the answer is a credential")]
    Credential,
}

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    JsonPatch,
    Yaml,
    Protobuf,
}

impl Redactor {
    /// A request's body without its secrets.
    pub fn body(&self, context: &BodyContext<'_>, bytes: &[u8]) -> RedactedBody {
        let mut redacted = RedactedBody {
            kept: Err(NotKept::Empty),
            fingerprint: self.key().fingerprint(bytes),
            cuts: Vec::new(),
            names: ObjectNames::default(),
            unknown_fields: 0,
        };
        match read(context, bytes) {
            Ok((value, format, unknown_fields)) => {
                redacted.unknown_fields = unknown_fields;
                redacted.names = ObjectNames::of(&value);
                self.walk(context, value, format, &mut redacted);
            }
            Err(why) => redacted.kept = Err(why),
        }
        redacted
    }

    fn walk(&self, context: &BodyContext<'_>, value: Value, format: Format, redacted: &mut RedactedBody) {
        let mut walk = Walk::new(self);
        let hint = Hint::of(context);
        let kept = match format {
            Format::JsonPatch => walk.patch(value, hint),
            _ => walk.top(value, hint),
        };
        match kept {
            Ok(value) => {
                redacted.kept = Ok(value);
                redacted.cuts = walk.into_cuts();
                redacted.names.redact(self);
            }
            Err(why) => {
                redacted.kept = Err(why);
                redacted.names = ObjectNames::default();
            }
        }
    }
}

/// An answer as JSON.
pub(crate) fn read_answer(context: &BodyContext<'_>, bytes: &[u8]) -> Result<Value, NotKept> {
    read(context, bytes).map(|(value, ..)| value)
}

/// The body as JSON, its form, and the number of fields that are not understood.
fn read(context: &BodyContext<'_>, bytes: &[u8]) -> Result<(Value, Format, u64), NotKept> {
    if bytes.is_empty() {
        return Err(NotKept::Empty);
    }
    if bytes.len() > MAX_BODY {
        return Err(NotKept::TooLong { bytes: bytes.len() });
    }
    if let Some(encoding) = context
        .content_encoding
        .map(str::trim)
        .filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err(NotKept::Compressed { encoding: header_text(encoding) });
    }
    let format = format_of(context.content_type)?;
    match format {
        Format::Json | Format::JsonPatch => {
            let value = serde_json::from_slice(bytes).map_err(|_| NotKept::Unreadable { format: "JSON" })?;
            Ok((value, format, 0))
        }
        Format::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| NotKept::Unreadable { format: "YAML" })?;
            let mut documents = yaml::decode(text)?;
            match documents.len() {
                0 => Err(NotKept::Empty),
                1 => Ok((documents.remove(0), format, 0)),
                // An API server takes one object. Whatever follows it is read alike.
                _ => Ok((Value::Array(documents), format, 0)),
            }
        }
        Format::Protobuf => protobuf::decode(bytes).map(|(value, unknown)| (value, format, unknown)),
    }
}

fn format_of(content_type: Option<&str>) -> Result<Format, NotKept> {
    let Some(content_type) = content_type else { return Ok(Format::Json) };
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        ""
        | "application/json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json"
        | "text/json" => Ok(Format::Json),
        "application/json-patch+json" => Ok(Format::JsonPatch),
        "application/apply-patch+yaml" | "application/yaml" | "application/x-yaml" | "text/yaml" => {
            Ok(Format::Yaml)
        }
        "application/vnd.kubernetes.protobuf" => Ok(Format::Protobuf),
        _ => Err(NotKept::Format { content_type: header_text(&media) }),
    }
}

/// A header's value, short enough for an event and without secrets of its own.
fn header_text(value: &str) -> String {
    let plain = value.chars().filter(|letter| letter.is_ascii_alphanumeric() || "/+-._, ".contains(*letter));
    plain.take(64).collect()
}
