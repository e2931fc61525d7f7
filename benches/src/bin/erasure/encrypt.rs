//! Encrypting a leaf: personal values become tokens, everything else stays byte for byte.

use std::rc::Rc;

use anyhow::{Context, Result};
use meshtrail_event::{Column, ColumnType, Event, Family, Member, PersonalData, Whose};

use crate::directory::{Directory, Holder};
use crate::fast::FastMap;
use crate::json::{Cursor, split_address};
use crate::keys::{PersonKeys, ValueKeys};
use crate::memory::{DayTokens, Party, PersonTokens, keep, tokens_of_day};
use crate::personal::{Extent, of_columns};
use crate::token::{encrypt_alone, encrypt_for_person};

const DAY: i64 = 86_400_000_000_000;
/// The longest value whose token is looked up: longer ones are rarely equal.
const MAX_SHARED: usize = 512;
/// Columns whose type in a leaf is a list of texts.
const LISTS: [&str; 6] = ["addresses", "groups", "lines", "anomalies", "not_seen", "argv"];
/// Types of targets whose ids are numbers and names of Meshtrail's own.
const OWN_TYPES: [&str; 7] = ["session", "event", "source", "hold", "rule", "log", "key"];

/// The UTC day of a time in nanoseconds.
pub(crate) fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY)
}

/// Encrypts leaves. Holds the keys of the last days, and tokens that were made with them.
pub(crate) struct Encrypter<'d> {
    directory: &'d Directory,
    pub(crate) people: PersonKeys,
    pub(crate) values: ValueKeys,
    columns: FastMap<Family, Rc<[PersonalData]>>,
    /// The last days, the newest use last.
    days: Vec<(i64, DayTokens)>,
    leaf: LeafState,
    text: Vec<u8>,
    party: Vec<u8>,
    /// Tokens made, and tokens found in memory.
    pub(crate) made: u64,
    pub(crate) found: u64,
}

/// What is known of the leaf at hand.
#[derive(Default)]
struct LeafState {
    family: Option<Family>,
    columns: Option<Rc<[PersonalData]>>,
    time: i64,
    actor: Option<u32>,
    target: Option<u32>,
    actor_device: Option<Holder>,
    target_device: Option<Holder>,
    target_type: Option<String>,
    /// People in the order of their first token.
    used: Vec<u32>,
    out: Vec<u8>,
    copied: usize,
    keys_at: Option<usize>,
    version_at: Option<usize>,
}

impl<'d> Encrypter<'d> {
    pub(crate) fn new(directory: &'d Directory, extent: Extent) -> Result<Self> {
        let columns = Family::ALL.iter().map(|&family| (family, of_columns(family.layout(), extent).into()));
        Ok(Self {
            directory,
            people: PersonKeys::default(),
            values: ValueKeys::new()?,
            columns: columns.collect(),
            days: Vec::new(),
            leaf: LeafState::default(),
            text: Vec::new(),
            party: Vec::new(),
            made: 0,
            found: 0,
        })
    }

    /// The encrypted leaf of an event, whose leaf this is.
    pub(crate) fn encrypt(&mut self, event: &Event, leaf: &[u8]) -> Result<Vec<u8>> {
        self.begin(event, leaf.len());
        let layout = event.kind.family().layout();
        let mut cursor = Cursor::new(leaf);
        self.object(leaf, &mut cursor, &layout.members, Place::Leaf).context("a leaf is canonical JSON")?;
        self.finish(leaf)
    }

    fn begin(&mut self, event: &Event, length: usize) {
        let directory = self.directory;
        let time = event.time.as_nanos();
        let number = |person: &meshtrail_event::Person| {
            directory.number(person.id.as_ref().map(String::as_bytes), Some(person.login.as_bytes()))
        };
        let owner = |device: Option<&meshtrail_event::Device>, person: Option<u32>| {
            let device = device?;
            let known = device.id.as_ref().map(|id| directory.holder(id.as_bytes(), time));
            let tagged = if device.tags.is_empty() { Holder::Unknown } else { Holder::Nobody };
            let told = person.map_or(tagged, Holder::Person);
            Some(known.filter(|&holder| holder != Holder::Unknown).unwrap_or(told))
        };
        let actor = event.actor.person.as_deref().and_then(number);
        let target = event.target.person.as_deref().and_then(number);
        let mut out = std::mem::take(&mut self.leaf.out);
        let mut used = std::mem::take(&mut self.leaf.used);
        out.clear();
        used.clear();
        out.reserve(length * 2);
        self.leaf = LeafState {
            family: Some(event.kind.family()),
            columns: self.columns.get(&event.kind.family()).cloned(),
            time,
            actor,
            target,
            actor_device: owner(event.actor.device.as_deref(), actor),
            target_device: owner(event.target.device.as_deref(), target),
            target_type: event.target.of_type.clone(),
            used,
            out,
            ..LeafState::default()
        };
    }

    /// Adds who can open the leaf, and the leaf's version, in their canonical places.
    fn finish(&mut self, leaf: &[u8]) -> Result<Vec<u8>> {
        let state = &mut self.leaf;
        state.out.extend_from_slice(&leaf[state.copied..]);
        let mut handles = String::new();
        let of_day = self.days.last().map(|(_, tokens)| tokens);
        for (place, &person) in state.used.iter().enumerate() {
            handles.push_str(if place == 0 { "\"leaf_keys\":[\"" } else { ",\"" });
            let tokens = of_day.and_then(|of_day| of_day.people[person as usize].as_ref());
            handles.push_str(&tokens.context("a person that was used has keys")?.handle);
            handles.push('"');
        }
        if !handles.is_empty() {
            handles.push_str("],");
        }
        let end = state.out.len() - 1;
        let mut encrypted = Vec::with_capacity(state.out.len() + handles.len() + 12);
        let keys_at = state.keys_at.unwrap_or(end);
        let version_at = state.version_at.unwrap_or(end);
        encrypted.extend_from_slice(&state.out[..keys_at]);
        encrypted.extend_from_slice(handles.as_bytes());
        encrypted.extend_from_slice(&state.out[keys_at..version_at]);
        encrypted.extend_from_slice(if version_at == end {
            b",\"leaf_version\":2"
        } else {
            b"\"leaf_version\":2,"
        });
        encrypted.extend_from_slice(&state.out[version_at..]);
        Ok(encrypted)
    }

    fn object<'a>(
        &mut self,
        leaf: &'a [u8],
        cursor: &mut Cursor<'a>,
        members: &'static [(&'static str, Member)],
        place: Place,
    ) -> Option<()> {
        cursor.take(b'{')?;
        if cursor.peek()? == b'}' {
            return cursor.take(b'}');
        }
        let mut next = members;
        loop {
            let name_at = cursor.at;
            let name = cursor.string()?;
            cursor.take(b':')?;
            if place == Place::Leaf {
                self.mark_places(leaf, name, name_at);
            }
            let skipped = next.iter().position(|(known, _)| known.as_bytes() >= name).unwrap_or(next.len());
            next = &next[skipped..];
            match next.first().filter(|(known, _)| known.as_bytes() == name) {
                Some((_, Member::Object(inner))) if cursor.peek()? == b'{' => match place.inside(name) {
                    Place::Party(role, part) => self.party(leaf, cursor, inner, (role, part))?,
                    inside => self.object(leaf, cursor, inner, inside)?,
                },
                Some((_, Member::Column(number))) => self.column(leaf, cursor, *number)?,
                _ => self.unknown_member(leaf, cursor)?,
            }
            match cursor.peek()? {
                b',' => cursor.take(b',')?,
                _ => return cursor.take(b'}'),
            }
        }
    }

    /// A device or person: the text that was made of it before on that day, or a new one.
    fn party<'a>(
        &mut self,
        leaf: &'a [u8],
        cursor: &mut Cursor<'a>,
        members: &'static [(&'static str, Member)],
        (role, part): (Role, Part),
    ) -> Option<()> {
        let mut inside = *cursor;
        let start = cursor.at;
        let span = cursor.value()?;
        let state = &mut self.leaf;
        let holder = match (role, part) {
            (Role::Actor, Part::Person) => state.actor.map_or(Holder::Nobody, Holder::Person),
            (Role::Target, Part::Person) => state.target.map_or(Holder::Nobody, Holder::Person),
            (Role::Actor, Part::Device) => state.actor_device.unwrap_or(Holder::Unknown),
            (Role::Target, Part::Device) => state.target_device.unwrap_or(Holder::Unknown),
        };
        let (kind, person) = match holder {
            Holder::Person(number) => (0, number),
            Holder::Nobody => (1, 0),
            Holder::Unknown => (2, 0),
        };
        let mut key = std::mem::take(&mut self.party);
        key.clear();
        key.push(kind * 2 + u8::from(part == Part::Person));
        key.extend_from_slice(&person.to_le_bytes());
        key.extend_from_slice(span);
        state.out.extend_from_slice(&leaf[state.copied..start]);
        state.copied = start;
        let of_day = tokens_of_day(&mut self.days, day_of(state.time));
        if let Some(known) = of_day.parties.get(key.as_slice()) {
            state.out.extend_from_slice(&known.text);
            state.copied = cursor.at;
            if known.uses_person && !state.used.contains(&person) {
                state.used.push(person);
            }
        } else {
            let from = state.out.len();
            let before = state.used.len();
            // What is used before must not hide whether this party uses it.
            let used = std::mem::take(&mut state.used);
            self.object(leaf, &mut inside, members, Place::Other)?;
            let state = &mut self.leaf;
            state.out.extend_from_slice(&leaf[state.copied..cursor.at]);
            state.copied = cursor.at;
            let now = std::mem::replace(&mut state.used, used);
            debug_assert!(state.used.len() == before && now.len() <= 1);
            for person in &now {
                if !state.used.contains(person) {
                    state.used.push(*person);
                }
            }
            let party = Party { text: state.out[from..].into(), uses_person: !now.is_empty() };
            let parties = &mut tokens_of_day(&mut self.days, day_of(state.time)).parties;
            keep(parties, &key, party);
        }
        self.party = key;
        Some(())
    }

    fn mark_places(&mut self, leaf: &[u8], name: &[u8], at: usize) {
        let state = &mut self.leaf;
        for (place, own) in
            [(&mut state.keys_at, &b"leaf_keys"[..]), (&mut state.version_at, b"leaf_version")]
        {
            if place.is_none() && name >= own {
                state.out.extend_from_slice(&leaf[state.copied..at]);
                state.copied = at;
                *place = Some(state.out.len());
            }
        }
    }

    fn unknown_member<'a>(&mut self, leaf: &'a [u8], cursor: &mut Cursor<'a>) -> Option<()> {
        let start = cursor.at;
        let value = cursor.value()?;
        self.set_text(value);
        self.replace(leaf, (start, cursor.at), ("\"", "\""), Holder::Nobody, true)
    }

    fn column<'a>(&mut self, leaf: &'a [u8], cursor: &mut Cursor<'a>, number: usize) -> Option<()> {
        let family = self.leaf.family?;
        let column = &family.layout().columns[number];
        let personal = self.leaf.columns.as_ref()?[number];
        let start = cursor.at;
        let value = cursor.value()?;
        if personal.whose.is_none() && !personal.may_name_anybody {
            return self.keep(leaf, start, value);
        }
        let inner = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
        if let (ColumnType::Address, Some(inner)) = (column.column_type, inner) {
            return self.address(leaf, start, inner, personal);
        }
        let holder = self.holder(personal, column, inner.unwrap_or_default());
        let around = if value[0] == b'[' && column.path.last().is_some_and(|name| LISTS.contains(name)) {
            ("[\"", "\"]")
        } else {
            ("\"", "\"")
        };
        if holder == Holder::Nobody && !personal.may_name_anybody {
            return self.keep(leaf, start, value);
        }
        self.set_text(value);
        self.replace(leaf, (start, cursor.at), around, holder, personal.may_name_anybody)
    }

    /// Leaves a value as it is; one that looks like a token is marked as none.
    fn keep(&mut self, leaf: &[u8], start: usize, value: &[u8]) -> Option<()> {
        if value.starts_with(b"\"~") {
            let state = &mut self.leaf;
            state.out.extend_from_slice(&leaf[state.copied..=start]);
            state.out.push(b'~');
            state.copied = start + 1;
        }
        Some(())
    }

    /// Encrypts the host of an address; its port stays.
    fn address(&mut self, leaf: &[u8], start: usize, inner: &[u8], personal: PersonalData) -> Option<()> {
        let (host, port) = split_address(inner);
        let holder = match (self.directory.holder(host, self.leaf.time), personal.whose, self.leaf.actor) {
            (Holder::Unknown, Some(Whose::HolderOrActor), Some(actor)) => Holder::Person(actor),
            (holder, ..) => holder,
        };
        if holder == Holder::Nobody && !personal.may_name_anybody {
            return Some(());
        }
        self.text.clear();
        self.text.push(b'"');
        self.text.extend_from_slice(host);
        self.text.push(b'"');
        let end = start + 1 + inner.len() - port.map_or(0, |port| port.len() + 1);
        self.replace(leaf, (start, end), ("\"", ""), holder, personal.may_name_anybody)
    }

    fn holder(&self, personal: PersonalData, column: &Column, inner: &[u8]) -> Holder {
        let state = &self.leaf;
        let device = |holder: Option<Holder>| holder.unwrap_or(Holder::Unknown);
        let person = |person: Option<u32>| person.map_or(Holder::Nobody, Holder::Person);
        match personal.whose {
            // The prototype has no keys of sessions: digests stay as they are.
            None | Some(Whose::Session) => Holder::Nobody,
            Some(Whose::Likely | Whose::SubjectType) => Holder::Unknown,
            Some(Whose::Actor) => person(state.actor),
            Some(Whose::Target) => person(state.target),
            Some(Whose::ActorDevice) => device(state.actor_device),
            Some(Whose::TargetDevice) => device(state.target_device),
            Some(Whose::Holder | Whose::HolderOrActor) => self.directory.holder(inner, state.time),
            Some(Whose::TargetType) => match state.target_type.as_deref() {
                Some("user" | "member") => state.target.map_or(Holder::Unknown, Holder::Person),
                Some("device") => device(state.target_device),
                Some(other) if OWN_TYPES.contains(&other) => Holder::Nobody,
                _ if column.path == ["target", "id"] => Holder::Unknown,
                _ => Holder::Nobody,
            },
        }
    }

    fn set_text(&mut self, value: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(value);
    }

    /// Writes a token for `self.text` in place of a part of the leaf.
    fn replace(
        &mut self,
        leaf: &[u8],
        (start, end): (usize, usize),
        (before, behind): (&str, &str),
        holder: Holder,
        names_anybody: bool,
    ) -> Option<()> {
        let state = &mut self.leaf;
        state.out.extend_from_slice(&leaf[state.copied..start]);
        state.copied = end;
        state.out.extend_from_slice(before.as_bytes());
        let of_day = tokens_of_day(&mut self.days, day_of(state.time));
        let person = match holder {
            Holder::Person(number) => {
                if !state.used.contains(&number) {
                    state.used.push(number);
                }
                let index = number as usize;
                if of_day.people.len() <= index {
                    of_day.people.resize_with(index + 1, || None);
                }
                if of_day.people[index].is_none() {
                    let keys = self.people.day_for_encryption(number, day_of(state.time)).ok()?;
                    of_day.people[index] = Some(Box::new(PersonTokens::new(keys)));
                }
                of_day.people[index].as_deref_mut()
            }
            _ => None,
        };
        let alone = names_anybody || person.is_none();
        let (keys, tokens) = match person {
            Some(person) if alone => (Some(&person.keys), &mut person.shared),
            Some(person) => (Some(&person.keys), &mut person.own),
            None => (None, &mut of_day.values),
        };
        if let Some(token) = tokens.get(self.text.as_slice()) {
            self.found += 1;
            state.out.extend_from_slice(token.as_bytes());
        } else {
            self.made += 1;
            let token = match keys {
                Some(keys) if !alone => encrypt_for_person(keys, &self.text),
                keys => {
                    let (number, key) = self.values.next().ok()?;
                    encrypt_alone(&key, keys, (0, number), &self.text)
                }
            };
            state.out.extend_from_slice(token.as_bytes());
            if self.text.len() <= MAX_SHARED {
                keep(tokens, &self.text, token.into());
            }
        }
        state.out.extend_from_slice(behind.as_bytes());
        Some(())
    }

    /// Forgets every token in memory, as an erasure must.
    pub(crate) fn forget_tokens(&mut self) {
        self.days.clear();
    }
}

/// Where an object stands in a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Leaf,
    Role(Role),
    Party(Role, Part),
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Actor,
    Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Device,
    Person,
}

impl Place {
    fn inside(self, name: &[u8]) -> Self {
        match (self, name) {
            (Self::Leaf, b"actor") => Self::Role(Role::Actor),
            (Self::Leaf, b"target") => Self::Role(Role::Target),
            (Self::Role(role), b"device") => Self::Party(role, Part::Device),
            (Self::Role(role), b"person") => Self::Party(role, Part::Person),
            _ => Self::Other,
        }
    }
}
