//! Members of foreign JSON that are not always what they should be.

use meshtrail_event::Timestamp;
use serde::{Deserialize, Deserializer};

/// A list that may be `null`: an empty one, as Go writes it.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list that may be `null`, or not be there at all: then it is not told.
pub(crate) fn told_list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    null_is_empty(deserializer).map(Some)
}

/// A time that may be empty, `null`, or the zero time of Go: none. One that can't be read is none too: it is a detail
/// of a thing that is there.
pub(crate) fn lenient_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).filter(|time: &Timestamp| time.as_nanos() > 0))
}

/// An id, as text or as a number.
pub(crate) fn any_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
    }
    Ok(match Option::<Id>::deserialize(deserializer)? {
        Some(Id::Text(text)) => text,
        Some(Id::Number(number)) => number.to_string(),
        None => String::new(),
    })
}

/// A text that says something.
pub(crate) fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
