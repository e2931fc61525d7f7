//! Texts within objects: manifests as JSON and YAML, compressed copies, base64, and any text with a secret in it.
//!
//! What a text holds is read by the rules of whole bodies. If nothing was cut the text stays as it is; else it is written anew as
//! JSON, or, where it was encoded, is a fingerprint as a whole.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::limits::{MAX_EMBEDDED, MAX_UNPACKED};
use super::object::{Hint, Step, Walk};
use super::{NotKept, yaml};
use crate::text;
use crate::values::{decode_base64, is_public};

/// Base64 shorter than this hides nothing that is looked for.
const SHORTEST_BASE64: usize = 24;

impl Walk<'_> {
    /// A text in an object that is no Secret.
    pub(super) fn text(&mut self, text: String) -> Step {
        self.count()?;
        if let Some(read) = self.manifest(&text)? {
            return Ok(read);
        }
        if let Some(read) = self.encoded(&text)? {
            return Ok(read);
        }
        let spans = text::find(&text);
        let redacted = self.redactor.cut_text(&text, &spans);
        redacted.fingerprints.iter().try_for_each(|fingerprint| self.push_cut(*fingerprint))?;
        Ok(Value::String(redacted.text))
    }

    /// An annotation of a Secret: a fingerprint, whatever it says. If it can be read, the secrets in it are told as well.
    pub(super) fn cut_annotation(&mut self, value: Value) -> Step {
        let Value::String(text) = value else { return self.cut_all(value) };
        let decoded = decode_base64(&text).filter(|_| text.len() >= SHORTEST_BASE64);
        let unpacked = match decoded {
            Some(bytes) => self.unpack(&bytes)?,
            None => None,
        };
        let inner = unpacked.as_deref().map_or(Some(text.as_str()), |bytes| std::str::from_utf8(bytes).ok());
        if let Some(inner) = inner {
            self.read_inner(inner)?;
        }
        self.cut_bytes(text.as_bytes())
    }

    /// Tells the secrets of an inner text of which nothing is shown; one beyond the limit is not read.
    fn read_inner(&mut self, inner: &str) -> Step<()> {
        if self.embedded >= MAX_EMBEDDED {
            return Ok(());
        }
        let documents = documents(inner);
        self.within_text(|walk| {
            documents.into_iter().try_for_each(|document| walk.top(document, Hint::None).map(drop))
        })
    }

    /// JSON or YAML within a text.
    fn manifest(&mut self, text: &str) -> Step<Option<Value>> {
        let documents = documents(text);
        if documents.is_empty() {
            return Ok(None);
        }
        if self.embedded >= MAX_EMBEDDED {
            return self.cut_bytes(text.as_bytes()).map(Some);
        }
        let cuts = self.cut_count();
        let before: Vec<Value> = documents.clone();
        let read: Vec<Value> = self.within_text(|walk| {
            documents.into_iter().map(|document| walk.top(document, Hint::None)).collect()
        })?;
        if cuts == self.cut_count() && before == read {
            // Comments and what else is no value may have secrets too.
            return Ok(None);
        }
        let written: Vec<String> = read.iter().map(Value::to_string).collect();
        Ok(Some(Value::String(written.join("\n---\n"))))
    }

    /// Base64, compressed or not, that holds a secret.
    fn encoded(&mut self, text: &str) -> Step<Option<Value>> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-\n\r ".contains(&byte);
        if text.len() < SHORTEST_BASE64 || !text.bytes().all(plain) || is_public(text) {
            return Ok(None);
        }
        let Some(bytes) = decode_base64(text) else { return Ok(None) };
        if let Some(unpacked) = self.unpack(&bytes)? {
            // A compressed copy can't be shown in part.
            if let Ok(inner) = std::str::from_utf8(&unpacked) {
                self.read_inner(inner)?;
            }
            return self.cut_bytes(&unpacked).map(Some);
        }
        let Some(inner) = String::from_utf8(bytes)
            .ok()
            .filter(|inner| !inner.contains(|letter: char| letter.is_control() && !letter.is_whitespace()))
        else {
            return Ok(None);
        };
        if self.embedded >= MAX_EMBEDDED {
            return self.cut_bytes(inner.as_bytes()).map(Some);
        }
        let cuts = self.cut_count();
        let bytes = inner.clone().into_bytes();
        self.within_text(|walk| walk.text(inner))?;
        if cuts == self.cut_count() { Ok(None) } else { self.cut_bytes(&bytes).map(Some) }
    }

    /// What is compressed in these bytes; `None` if they are no gzip. Of damaged ones what was read so far.
    fn unpack(&mut self, bytes: &[u8]) -> Step<Option<Vec<u8>>> {
        if !bytes.starts_with(&[0x1F, 0x8B]) {
            return Ok(None);
        }
        let room = MAX_UNPACKED - self.unpacked;
        let mut unpacked = Vec::new();
        // An error leaves what was read: it still is a copy of something.
        let _damaged = MultiGzDecoder::new(bytes).take(room as u64 + 1).read_to_end(&mut unpacked).is_err();
        if unpacked.len() > room {
            return Err(NotKept::TooMuch);
        }
        self.unpacked += unpacked.len();
        Ok(Some(unpacked))
    }
}

/// The JSON or YAML documents of a text; none if it is something else.
fn documents(text: &str) -> Vec<Value> {
    let trimmed = text.trim_start();
    // A text in quotes is JSON that was written into JSON once more.
    if trimmed.starts_with(['{', '[', '"'])
        && let Ok(value) = serde_json::from_str(text)
    {
        return vec![value];
    }
    // A single line of YAML is read as text: most texts with a colon are none.
    if !text.contains(':') || !trimmed.contains('\n') && !trimmed.starts_with('{') {
        return Vec::new();
    }
    match yaml::decode(text) {
        Ok(documents) if documents.iter().all(|document| document.is_object() || document.is_array()) => {
            documents
        }
        _ => Vec::new(),
    }
}
