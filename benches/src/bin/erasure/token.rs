//! Encrypted values: `~`, a letter that says which keys open it, then base64url.
//!
//! - `~p…`: a person's day keys. The first 4 bytes of their handle, 16 bytes of synthetic nonce, ciphertext.
//! - `~v…`: a value's own key. Number of its tree (4 bytes) and of the key (4), 32 bytes of synthetic nonce, ciphertext.
//! - `~b…`: both. The 4 bytes of `~p`, then as `~v`.
//!
//! The synthetic nonce is HMAC-SHA-256 over the padded value, so equal values under one key are equal tokens, and a token
//! that opens is the one that was encrypted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::keys::{PersonDay, Secret, apply_keystream};

const HINT: usize = 4;
const PERSON_NONCE: usize = 16;
const VALUE_NONCE: usize = 32;

/// The number of a value's key: its tree, and its place there.
pub(crate) type ValueNumber = (u32, u32);

/// The first bytes of a handle, by which a person's keys are found among those of a day.
pub(crate) type Hint = [u8; HINT];

/// A token's parts.
pub(crate) struct Token {
    pub(crate) hint: Option<Hint>,
    pub(crate) number: Option<ValueNumber>,
    encrypted: Vec<u8>,
}

/// Encrypts a value under a person's keys.
pub(crate) fn encrypt_for_person(keys: &PersonDay, value: &[u8]) -> String {
    let mut text = pad(value);
    let nonce = hmac::sign(&keys.mac, &text);
    let nonce = &nonce.as_ref()[..PERSON_NONCE];
    apply_keystream(&keys.stream, first_twelve(nonce), &mut text);
    encode('p', &[&keys.handle[..HINT], nonce, &text])
}

/// Encrypts a value under its own key, joined with a person's if it is also theirs.
pub(crate) fn encrypt_alone(
    key: &Secret,
    person: Option<&PersonDay>,
    number: ValueNumber,
    value: &[u8],
) -> String {
    let (mac, stream) = value_keys(key, person);
    let mut text = pad(value);
    let nonce = hmac::sign(&mac, &text);
    let nonce = &nonce.as_ref()[..VALUE_NONCE];
    apply_keystream(&stream, first_twelve(nonce), &mut text);
    let (tree, number) = (number.0.to_be_bytes(), number.1.to_be_bytes());
    match person {
        Some(person) => encode('b', &[&person.handle[..HINT], &tree, &number, nonce, &text]),
        None => encode('v', &[&tree, &number, nonce, &text]),
    }
}

impl Token {
    /// Reads a token.
    pub(crate) fn parse(token: &[u8]) -> Option<Self> {
        let (letter, text) = letter_of(token)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (hint, rest) = match letter {
            b'v' => (None, &bytes[..]),
            _ => bytes.split_first_chunk::<HINT>().map(|(hint, rest)| (Some(*hint), rest))?,
        };
        if letter == b'p' {
            return Some(Self { hint, number: None, encrypted: rest.to_vec() });
        }
        let (number, encrypted) = rest.split_first_chunk::<8>()?;
        Some(Self { hint, number: Some(number_from(number)), encrypted: encrypted.to_vec() })
    }

    /// The number of the key of a token that has one. Text may follow the token.
    pub(crate) fn number_of(token: &[u8]) -> Option<ValueNumber> {
        let (letter, text) = letter_of(token)?;
        match letter {
            b'v' => Some(number_from(URL_SAFE_NO_PAD.decode(text.get(..12)?).ok()?.first_chunk()?)),
            b'b' => Some(number_from(URL_SAFE_NO_PAD.decode(text.get(..16)?).ok()?[HINT..].first_chunk()?)),
            _ => None,
        }
    }

    /// The value, if the keys are the right ones.
    pub(crate) fn open(&self, key: Option<&Secret>, person: Option<&PersonDay>) -> Option<Vec<u8>> {
        let (mac, stream, length) = match (key, person) {
            (Some(key), person) => {
                let (mac, stream) = value_keys(key, person);
                (mac, stream, VALUE_NONCE)
            }
            (None, Some(person)) => (person.mac.clone(), person.stream, PERSON_NONCE),
            (None, None) => return None,
        };
        let (nonce, encrypted) = self.encrypted.split_at_checked(length)?;
        let mut text = encrypted.to_vec();
        apply_keystream(&stream, first_twelve(nonce), &mut text);
        let expected = hmac::sign(&mac, &text);
        (&expected.as_ref()[..length] == nonce).then(|| unpad(text)).flatten()
    }
}

fn value_keys(key: &Secret, person: Option<&PersonDay>) -> (hmac::Key, Secret) {
    let mut base = *key;
    if let Some(person) = person {
        base = Sha256::new().chain_update([4]).chain_update(key).chain_update(person.mix).finalize().into();
    }
    let part =
        |label: u8| -> Secret { Sha256::new().chain_update([label]).chain_update(base).finalize().into() };
    (hmac::Key::new(hmac::HMAC_SHA256, &part(2)), part(3))
}

/// Pads so that lengths say little: to multiples of 32 up to 256 bytes, above that by at most an eighth.
fn pad(value: &[u8]) -> Vec<u8> {
    let length = value.len() + 1;
    let step = if length <= 256 { 32 } else { length.next_power_of_two() / 16 };
    let mut text = Vec::with_capacity(length.next_multiple_of(step));
    text.extend_from_slice(value);
    text.push(0x80);
    text.resize(length.next_multiple_of(step), 0);
    text
}

fn unpad(mut text: Vec<u8>) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|&byte| byte != 0)?;
    (text[end] == 0x80).then(|| text.truncate(end))?;
    Some(text)
}

fn first_twelve(nonce: &[u8]) -> [u8; 12] {
    nonce[..12].try_into().expect("nonces are longer than twelve bytes")
}

fn letter_of(token: &[u8]) -> Option<(u8, &[u8])> {
    let (letter, text) = token.strip_prefix(b"~")?.split_first()?;
    b"pvb".contains(letter).then_some((*letter, text))
}

fn number_from(bytes: &[u8; 8]) -> ValueNumber {
    let [a, b, c, d, number @ ..] = *bytes;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(number))
}

fn encode(letter: char, parts: &[&[u8]]) -> String {
    let mut token = format!("~{letter}");
    URL_SAFE_NO_PAD.encode_string(parts.concat(), &mut token);
    token
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{PersonKeys, random};

    #[test]
    fn a_token_opens_with_its_keys_and_with_no_others() {
        let mut people = PersonKeys::default();
        let (ours, theirs) =
            (people.day_for_encryption(1, 9).unwrap(), people.day_for_encryption(2, 9).unwrap());
        let (key, other) = (random().unwrap(), random().unwrap());
        let value = b"\"rowan@example.net\"";
        let person = Token::parse(encrypt_for_person(&ours, value).as_bytes()).unwrap();
        assert_eq!(
            (person.hint.as_ref().map(|hint| &hint[..]), person.number),
            (Some(&ours.handle[..4]), None)
        );
        assert_eq!(person.open(None, Some(&ours)).as_deref(), Some(&value[..]));
        assert_eq!(person.open(None, Some(&theirs)), None);
        let both = encrypt_alone(&key, Some(&ours), (2, 70_000), value);
        assert_eq!(Token::number_of(both.as_bytes()), Some((2, 70_000)));
        let both = Token::parse(both.as_bytes()).unwrap();
        assert!(both.hint.is_some() && both.number == Some((2, 70_000)));
        assert_eq!(both.open(Some(&key), Some(&ours)).as_deref(), Some(&value[..]));
        for (key, person) in [(&key, Some(&theirs)), (&key, None), (&other, Some(&ours))] {
            assert_eq!(both.open(Some(key), person), None);
        }
    }

    #[test]
    fn equal_values_are_equal_tokens_and_lengths_say_little() {
        let mut people = PersonKeys::default();
        let keys = people.day_for_encryption(1, 9).unwrap();
        assert_eq!(encrypt_for_person(&keys, b"\"ann\""), encrypt_for_person(&keys, b"\"ann\""));
        assert_eq!(
            encrypt_for_person(&keys, b"\"ann\"").len(),
            encrypt_for_person(&keys, b"\"bartholomew\"").len()
        );
        for length in [0, 31, 32, 255, 256, 257, 5000, 60_000] {
            let value = vec![b'x'; length];
            assert_eq!(unpad(pad(&value)), Some(value.clone()));
            assert!(pad(&value).len() <= (length + 1) + ((length + 1) / 8).max(32), "{length}");
        }
    }
}
