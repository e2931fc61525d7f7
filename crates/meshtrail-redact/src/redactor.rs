//! What cuts secrets: a key, and one method for each kind of thing that may have secrets in it.

use std::sync::Arc;

use crate::argv::{self, shell_text};
use crate::decoded::{from_bytes, shown};
use crate::fingerprint::Fingerprint;
use crate::key::FingerprintKey;
use crate::spans::{Span, cut};
use crate::text;

/// A secret that was cut: where its fingerprint stands in what is left, and the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// A JSON pointer (RFC 6901) into what the method returns: `/2` is the third argument, `/data/password` a member.
    pub path: String,
    /// What stands there now.
    pub fingerprint: Fingerprint,
}

/// A list of arguments without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedArgv {
    /// The arguments; bytes that are not UTF-8 are shown as `\xff`.
    pub argv: Vec<String>,
    /// What was cut, by argument.
    pub cuts: Vec<Cut>,
}

impl RedactedArgv {
    /// The arguments as text that can be pasted into a shell.
    pub fn text(&self) -> String {
        shell_text(&self.argv)
    }
}

/// A text without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedText {
    /// What is left of it.
    pub text: String,
    /// The fingerprints in it, in order.
    pub fingerprints: Vec<Fingerprint>,
}

/// Cuts secrets and puts fingerprints under one key in their places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor {
    key: Arc<FingerprintKey>,
}

impl Redactor {
    /// A redactor whose fingerprints are made with this key.
    pub fn new(key: FingerprintKey) -> Self {
        Self { key: Arc::new(key) }
    }

    /// The key.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }

    /// A program and its arguments, as the kernel or an API has them: one item for each, quotes resolved.
    pub fn argv<A: AsRef<[u8]>>(&self, argv: &[A]) -> RedactedArgv {
        let words: Vec<String> = argv.iter().map(|argument| from_bytes(argument.as_ref())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut redacted = RedactedArgv { argv: Vec::with_capacity(words.len()), cuts: Vec::new() };
        for (at, (word, spans)) in words.iter().zip(argv::find(&words)).enumerate() {
            let (text, fingerprints) = cut(word, &spans, &self.key);
            redacted.argv.push(shown(&text));
            let path = format!("/{at}");
            redacted
                .cuts
                .extend(fingerprints.into_iter().map(|fingerprint| Cut { path: path.clone(), fingerprint }));
        }
        redacted
    }

    /// The arguments in `EXECVE` records of the kernel's audit stream (`a0`, `a1`, …), each in quotes or in hex.
    pub fn audit_argv(&self, values: &[&str]) -> RedactedArgv {
        let argv: Vec<Vec<u8>> = values.iter().map(|value| argv::decode_value(value)).collect();
        self.argv(&argv)
    }

    /// The value of `proctitle` in the kernel's audit stream: arguments apart by zero bytes, in quotes or in hex.
    pub fn audit_title(&self, value: &str) -> RedactedArgv {
        self.argv(&argv::split_title(value))
    }

    /// A command as a shell gets it: the text after `sh -c`, a command of `ssh`, a line of a script. Quotes stay closed.
    pub fn script(&self, script: &str) -> RedactedText {
        self.cut_text(script, &argv::find_in_script(script))
    }

    /// Any text: a line of a log, a message, a name that a client chose.
    pub fn text(&self, text: &str) -> RedactedText {
        self.cut_text(text, &text::find(text))
    }

    pub(crate) fn cut_text(&self, text: &str, spans: &[Span]) -> RedactedText {
        let (text, fingerprints) = cut(text, spans, &self.key);
        RedactedText { text: shown(&text), fingerprints }
    }
}
