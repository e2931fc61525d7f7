//! Secrets, cut from what is written and replaced by keyed fingerprints.
//!
//! ```
//! use meshtrail_redact::{FingerprintKey, Redactor};
//!
//! # fn main() -> Result<(), meshtrail_redact::KeyError> {
//! let redactor = Redactor::new(FingerprintKey::generate()?);
//! let redacted = redactor.argv(&["mysqldump", "-uroot", "-pNotReal", "shop"]);
//! assert!(redacted.text().starts_with("mysqldump -uroot -pfp:"));
//! assert!(redacted.text().ends_with(" shop"));
//! let body = r#"{"kind":"Secret","data":{"password":"Tm90UmVhbA=="}}"#;
//! let secret = redactor.body(&Default::default(), body.as_bytes());
//! assert_eq!(secret.cuts[0].fingerprint, redacted.cuts[0].fingerprint);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Redactor`]: one method for each kind of thing: arguments, scripts, texts, request targets and queries, bodies and
//!   answers of Kubernetes' API.
//! - [`FingerprintKey`], [`Fingerprint`]: `fp:KEYID:HEX`, HMAC-SHA-256 over the secret's decoded bytes, so that equal secrets
//!   are seen to be equal in whatever form they came.
//! - Only the secret is cut, not more. Where it is not clear what is one, more is cut.
//! - What can't be read is not kept. No input panics, and what an input can cost is bounded: time grows with its length, memory
//!   by the limits of bodies. Long inputs belong on a thread that may take its time.
//!
//! Where arguments and bodies come from, and where the key lies, is not known here; nothing but the key's file is read or
//! written. What is not cut: docs/redaction.md.

mod argv;
mod body;
mod decoded;
mod fingerprint;
mod key;
mod message;
mod names;
mod redactor;
mod spans;
mod target;
mod text;
mod tokens;
mod url;
mod values;

pub use argv::shell_text;
pub use body::{BodyContext, MAX_BODY, NotKept, ObjectNames, RedactedBody};
pub use fingerprint::{Fingerprint, FingerprintError, KeyId};
pub use key::{FingerprintKey, KEY_FILE, KeyError, MAX_LABEL};
pub use message::{AnswerFacts, MAX_ITEMS};
pub use redactor::{Cut, RedactedArgv, RedactedText, Redactor};
pub use target::exec_argv;
