//! Tokens in memory: what was made for a day's events before is found again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fast::FastMap;
use crate::keys::PersonDay;

/// Days whose keys and tokens are in memory.
const MAX_DAYS: usize = 8;
/// Entries of one table.
const MAX_ENTRIES: usize = 1 << 18;

/// What was made for events of one day.
#[derive(Default)]
pub(crate) struct DayTokens {
    /// By the person's number.
    pub(crate) people: Vec<Option<Box<PersonTokens>>>,
    pub(crate) values: FastMap<Box<[u8]>, Box<str>>,
    /// Whole devices and people: most events repeat one of a few.
    pub(crate) parties: FastMap<Box<[u8]>, Party>,
}

/// The encrypted text of a device or person.
pub(crate) struct Party {
    pub(crate) text: Box<[u8]>,
    /// Whether one of its tokens is under the keys of the person whose it is.
    pub(crate) uses_person: bool,
}

/// A person's keys of the day, and what was made with them.
pub(crate) struct PersonTokens {
    pub(crate) keys: PersonDay,
    pub(crate) handle: String,
    /// By the value, under the person's keys alone.
    pub(crate) own: FastMap<Box<[u8]>, Box<str>>,
    /// By the value, under the person's keys and one of its own.
    pub(crate) shared: FastMap<Box<[u8]>, Box<str>>,
}

impl PersonTokens {
    pub(crate) fn new(keys: PersonDay) -> Self {
        let handle = URL_SAFE_NO_PAD.encode(keys.handle);
        Self { keys, handle, own: FastMap::default(), shared: FastMap::default() }
    }
}

/// Adds an entry; a full table begins anew.
pub(crate) fn keep<V>(table: &mut FastMap<Box<[u8]>, V>, key: &[u8], value: V) {
    if table.len() >= MAX_ENTRIES {
        table.clear();
    }
    table.insert(key.into(), value);
}

/// A day's tokens, which come last; the day that was not used for longest is forgotten.
pub(crate) fn tokens_of_day(days: &mut Vec<(i64, DayTokens)>, day: i64) -> &mut DayTokens {
    if days.last().is_none_or(|last| last.0 != day) {
        let known = days.iter().position(|known| known.0 == day).map(|place| days.remove(place));
        if known.is_none() && days.len() >= MAX_DAYS {
            days.remove(0);
        }
        days.push(known.unwrap_or((day, DayTokens::default())));
    }
    &mut days.last_mut().expect("the day was put there").1
}
