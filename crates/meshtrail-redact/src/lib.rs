//! Secrets, cut from what is written and replaced by keyed fingerprints.
mod argv;
mod decoded;
mod fingerprint;
mod key;
mod names;
mod redactor;
mod spans;
mod target;
mod text;
mod tokens;
mod url;
mod values;
pub use argv::shell_text;
pub use fingerprint::{Fingerprint, FingerprintError, KeyId};
pub use key::{FingerprintKey, KEY_FILE, KeyError, MAX_LABEL};
pub use redactor::{Cut, RedactedArgv, RedactedText, Redactor};
pub use target::exec_argv;
