//! Opening an encrypted leaf: what keys open comes back byte for byte; what no key opens is named.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshtrail_event::Timestamp;

use crate::encrypt::day_of;
use crate::fast::FastMap;
use crate::json::Cursor;
use crate::keys::{PersonDay, PersonKeys, Secret, ValueKeys};
use crate::token::{Hint, Token, ValueNumber};

/// Opened values in memory.
const MAX_OPENED: usize = 1 << 16;

/// An encrypted value of a leaf.
pub(crate) struct EncryptedValue {
    /// The names of the members that lead to it.
    pub(crate) path: String,
    pub(crate) person: Option<u32>,
    pub(crate) number: Option<ValueNumber>,
    /// Its JSON text; none if its key is not there.
    pub(crate) text: Option<Vec<u8>>,
}

/// A leaf as it is shown.
#[derive(Default)]
pub(crate) struct Opened {
    /// The leaf before it was encrypted, with null for what does not open.
    pub(crate) leaf: Vec<u8>,
    pub(crate) values: Vec<EncryptedValue>,
    /// The people whose keys the leaf names and which are there.
    pub(crate) people: Vec<u32>,
}

/// Opens leaves.
pub(crate) struct Opener<'k> {
    people: &'k mut PersonKeys,
    values: &'k mut ValueKeys,
    days: FastMap<(u32, i64), PersonDay>,
    memory: FastMap<Box<[u8]>, Box<[u8]>>,
    /// The first bytes of the handles that the leaf names, and whose they are.
    handles: Vec<(Hint, Option<u32>)>,
    /// Of the day.
    handle_memory: FastMap<Box<[u8]>, (Hint, Option<u32>)>,
    /// The time of the leaf at hand, and its day.
    pub(crate) time: i64,
    day: i64,
    path: Vec<u8>,
    /// Whether each encrypted value is reported beside the leaf.
    lists_values: bool,
}

impl<'k> Opener<'k> {
    pub(crate) fn new(people: &'k mut PersonKeys, values: &'k mut ValueKeys, lists_values: bool) -> Self {
        Self {
            people,
            values,
            days: FastMap::default(),
            memory: FastMap::default(),
            handles: Vec::new(),
            handle_memory: FastMap::default(),
            time: 0,
            day: 0,
            path: Vec::new(),
            lists_values,
        }
    }

    pub(crate) fn open(&mut self, encrypted: &[u8]) -> Result<Opened> {
        let mut opened = Opened::default();
        self.read_head(encrypted).context("an encrypted leaf names its time and its keys")?;
        opened.people.extend(self.handles.iter().filter_map(|handle| handle.1));
        opened.leaf.reserve(encrypted.len());
        let mut cursor = Cursor::new(encrypted);
        self.value(&mut cursor, true, &mut opened).context("an encrypted leaf is canonical JSON")?;
        Ok(opened)
    }

    fn read_head(&mut self, encrypted: &[u8]) -> Option<()> {
        let (mut time, mut handles) = (None, Vec::new());
        Cursor::new(encrypted).members(|cursor, name| {
            let value = cursor.value()?;
            match name {
                b"time" => time = Timestamp::parse_canonical(value.get(1..value.len() - 1)?),
                b"leaf_keys" => handles.extend(value.split(|&byte| byte == b'"').skip(1).step_by(2)),
                _ => {}
            }
            Some(())
        })?;
        self.time = time?.as_nanos();
        if self.day != day_of(self.time) {
            self.day = day_of(self.time);
            self.handle_memory.clear();
        }
        self.handles.clear();
        for handle in handles {
            if let Some(known) = self.handle_memory.get(handle) {
                self.handles.push(*known);
                continue;
            }
            let bytes: Secret = URL_SAFE_NO_PAD.decode(handle).ok()?.try_into().ok()?;
            let named = (*bytes.first_chunk()?, self.people.person_of(&bytes, self.day));
            self.handle_memory.insert(handle.into(), named);
            self.handles.push(named);
        }
        Some(())
    }

    /// The numbers of value keys that a leaf needs, and whether the person's keys are among those it names. Opens nothing.
    pub(crate) fn numbers(&mut self, encrypted: &[u8], person: u32) -> Result<(Vec<ValueNumber>, bool)> {
        self.read_head(encrypted).context("an encrypted leaf names its time and its keys")?;
        let mut numbers = Vec::new();
        let mut at = 0;
        while let Some(found) = encrypted[at..].windows(2).position(|pair| pair == b"\"~") {
            at += found + 2;
            numbers.extend(Token::number_of(&encrypted[at - 1..]));
        }
        Ok((numbers, self.handles.iter().any(|handle| handle.1 == Some(person))))
    }

    fn value(&mut self, cursor: &mut Cursor<'_>, top: bool, opened: &mut Opened) -> Option<()> {
        match cursor.peek()? {
            b'{' => self.object(cursor, top, opened),
            b'[' => self.list(cursor, opened),
            b'"' => {
                let text = cursor.string()?;
                if text.starts_with(b"~") {
                    return self.token(text, opened);
                }
                opened.leaf.push(b'"');
                opened.leaf.extend_from_slice(text);
                opened.leaf.push(b'"');
                Some(())
            }
            _ => {
                opened.leaf.extend_from_slice(cursor.value()?);
                Some(())
            }
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, top: bool, opened: &mut Opened) -> Option<()> {
        opened.leaf.push(b'{');
        let mut first = true;
        cursor.members(|cursor, name| {
            if top && matches!(name, b"leaf_keys" | b"leaf_version") {
                return cursor.value().map(|_| ());
            }
            if !first {
                opened.leaf.push(b',');
            }
            first = false;
            opened.leaf.push(b'"');
            opened.leaf.extend_from_slice(name);
            opened.leaf.extend_from_slice(b"\":");
            let length = self.path.len();
            if self.lists_values {
                self.path.push(b'.');
                self.path.extend_from_slice(name);
            }
            self.value(cursor, false, opened)?;
            self.path.truncate(length);
            Some(())
        })?;
        opened.leaf.push(b'}');
        Some(())
    }

    /// A list is plain, or one token that stands for all of it.
    fn list(&mut self, cursor: &mut Cursor<'_>, opened: &mut Opened) -> Option<()> {
        let text = cursor.value()?;
        let token = text.strip_prefix(b"[\"").and_then(|rest| rest.strip_suffix(b"\"]"));
        match token.filter(|token| token.starts_with(b"~") && !token.contains(&b'"')) {
            Some(token) => self.token(token, opened),
            None => {
                opened.leaf.extend_from_slice(text);
                Some(())
            }
        }
    }

    fn token(&mut self, text: &[u8], opened: &mut Opened) -> Option<()> {
        if let Some(plain) = text.strip_prefix(b"~").filter(|plain| plain.starts_with(b"~")) {
            opened.leaf.push(b'"');
            opened.leaf.extend_from_slice(plain);
            opened.leaf.push(b'"');
            return Some(());
        }
        let colon = text.iter().position(|&byte| byte == b':');
        let (token, port) = text.split_at(colon.unwrap_or(text.len()));
        let start = opened.leaf.len();
        if self.lists_values {
            self.open_and_list(token, opened)?;
        } else {
            self.open_from_memory(token, opened)?;
        }
        if !port.is_empty() && opened.leaf.last() == Some(&b'"') {
            opened.leaf.pop();
            if opened.leaf[start..].contains(&b':') {
                opened.leaf.insert(start + 1, b'[');
                opened.leaf.push(b']');
            }
            opened.leaf.extend_from_slice(port);
            opened.leaf.push(b'"');
        }
        Some(())
    }

    fn open_from_memory(&mut self, token: &[u8], opened: &mut Opened) -> Option<()> {
        // A token has the same value wherever it stands.
        if let Some(value) = self.memory.get(token) {
            opened.leaf.extend_from_slice(value);
            return Some(());
        }
        let parsed = Token::parse(token)?;
        match self.open_token(&parsed) {
            None => opened.leaf.extend_from_slice(b"null"),
            Some(value) => {
                opened.leaf.extend_from_slice(&value);
                if self.memory.len() >= MAX_OPENED {
                    self.memory.clear();
                }
                self.memory.insert(token.into(), value.into());
            }
        }
        Some(())
    }

    fn open_and_list(&mut self, token: &[u8], opened: &mut Opened) -> Option<()> {
        let parsed = Token::parse(token)?;
        let text = self.open_token(&parsed);
        opened.leaf.extend_from_slice(text.as_deref().unwrap_or(b"null"));
        opened.values.push(EncryptedValue {
            path: String::from_utf8_lossy(self.path.get(1..)?).into_owned(),
            person: parsed.hint.and_then(|hint| self.person_of(hint)),
            number: parsed.number,
            text,
        });
        Some(())
    }

    fn person_of(&self, hint: Hint) -> Option<u32> {
        self.handles.iter().find(|handle| handle.0 == hint)?.1
    }

    fn open_token(&mut self, token: &Token) -> Option<Vec<u8>> {
        let person = match token.hint {
            None => None,
            Some(hint) => Some(self.person_of(hint)?),
        };
        if let Some(person) = person
            && !self.days.contains_key(&(person, self.day))
        {
            self.days.insert((person, self.day), self.people.day(person, self.day)?);
        }
        let keys = person.map(|person| &self.days[&(person, self.day)]);
        let key = match token.number {
            None => None,
            Some((_, number)) => Some(self.values.get(number)?),
        };
        token.open(key.as_ref(), keys)
    }
}
