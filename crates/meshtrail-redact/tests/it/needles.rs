//! Every form in which a secret could stand in a store.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// A word as it is, in JSON, with percent escapes, in hex, in base64 at any offset and twice, and its hashes without a key.
pub(crate) fn needles(word: &str) -> Vec<String> {
    let bytes = word.as_bytes();
    let json = serde_json::to_string(word).unwrap();
    let mut forms =
        vec![word.to_owned(), json[1..json.len() - 1].to_owned(), percent(word, "%20"), percent(word, "+")];
    forms.extend([hex::encode(bytes), hex::encode_upper(bytes)]);
    forms.extend(base64_forms(bytes));
    for text in [bytes.to_vec(), BASE64_STANDARD.encode(bytes).into_bytes()] {
        forms.extend([
            hex::encode(Sha256::digest(&text)),
            hex::encode(Sha1::digest(&text)),
            hex::encode(md5::Md5::digest(&text)),
        ]);
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The letters of base64 that depend on the word alone, for each place in a group of three where it may begin.
fn base64_forms(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&BASE64_STANDARD, &BASE64_URL_SAFE] {
        for lead in 0..3 {
            let encoded = engine.encode([&vec![0; lead][..], bytes].concat());
            let encoded = encoded.trim_end_matches('=');
            let from = [0, 2, 3][lead];
            let until = encoded.len() - usize::from(!(bytes.len() + lead).is_multiple_of(3));
            if until >= from + 6 {
                forms.push(encoded[from..until].to_owned());
            }
        }
        let twice = engine.encode(engine.encode(bytes));
        forms.push(twice.trim_end_matches('=')[..twice.trim_end_matches('=').len() - 1].to_owned());
    }
    forms
}

fn percent(word: &str, blank: &str) -> String {
    let escape = |byte: u8| match byte {
        b' ' => blank.to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    word.bytes().map(escape).collect()
}

/// Fails if any form of one of the words is in the text.
#[track_caller]
pub(crate) fn assert_none(words: &[impl AsRef<str>], text: &str) {
    for word in words {
        for form in needles(word.as_ref()) {
            assert!(!text.contains(&form), "{} is there as {form}: {text}", word.as_ref());
        }
    }
}

#[test]
fn every_form_of_a_word_is_found() {
    for text in ["a s3cr3t-9Fqw b", "733363723374", "czNjcjN0LTlGcXc=", "enMzY3IzdC05RnF3"] {
        let found = needles("s3cr3t-9Fqw").iter().any(|form| text.contains(form.as_str()));
        assert!(found || text == "733363723374", "{text}");
    }
}
