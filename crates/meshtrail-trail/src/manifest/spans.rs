//! The sequences of each source in a segment file.
//!
//! A year of segments names the same thousands of sources in each of its thousands of files, so spans are stored in one
//! slice per file, and [`Names`] interns the names.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use meshtrail_event::{EventId, SourceName};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::SequenceSpan;

/// Spans by source and epoch; in JSON an object from source names to spans.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SourceSpans(Box<[(SourceName, SequenceSpan)]>);

/// The interned names.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(HashSet<SourceName>);

impl SourceSpans {
    /// Whether one of the spans covers the event.
    pub fn covers(&self, id: &EventId) -> bool {
        let begin = self.0.partition_point(|(source, _)| *source < id.source);
        self.0[begin..]
            .iter()
            .take_while(|(source, _)| *source == id.source)
            .any(|(_, span)| span.epoch == id.epoch && (span.first..=span.last).contains(&id.sequence))
    }

    /// The spans, by source.
    pub fn iter(&self) -> impl Iterator<Item = (&SourceName, &SequenceSpan)> {
        self.0.iter().map(|(source, span)| (source, span))
    }

    /// Interns the names.
    pub(super) fn share(&mut self, names: &mut Names) {
        for (source, _) in &mut self.0 {
            match names.0.get(source) {
                Some(known) => source.clone_from(known),
                None => drop(names.0.insert(source.clone())),
            }
        }
    }

    fn by_source(&self) -> impl Iterator<Item = &[(SourceName, SequenceSpan)]> {
        self.0.chunk_by(|(one, _), (other, _)| one == other)
    }
}

impl From<BTreeMap<SourceName, Vec<SequenceSpan>>> for SourceSpans {
    fn from(spans: BTreeMap<SourceName, Vec<SequenceSpan>>) -> Self {
        let each = |(source, spans): (SourceName, Vec<SequenceSpan>)| {
            spans.into_iter().map(move |span| (source.clone(), span))
        };
        Self(spans.into_iter().flat_map(each).collect())
    }
}

impl fmt::Debug for SourceSpans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(source, span)| (source, span))).finish()
    }
}

impl Serialize for SourceSpans {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for spans in self.by_source() {
            let of_source: Vec<&SequenceSpan> = spans.iter().map(|(_, span)| span).collect();
            map.serialize_entry(&spans[0].0, &of_source)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SourceSpans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = SourceSpans;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of sources and their spans")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SourceSpans, A::Error> {
        let mut spans = Vec::new();
        while let Some((source, of_source)) = map.next_entry::<SourceName, Vec<SequenceSpan>>()? {
            spans.extend(of_source.into_iter().map(|span| (source.clone(), span)));
        }
        // We write them in this order, but foreign JSON may have another.
        spans.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(SourceSpans(spans.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_an_object_by_source_and_cover_what_lies_within() {
        let json = r#"{"a.x":[{"epoch":1,"first":5,"last":9},{"epoch":2,"first":1,"last":1}],"b":[{"epoch":1,"first":3,"last":3}]}"#;
        let mut spans: SourceSpans = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&spans).unwrap(), json);
        let covers = |id: &str| spans.covers(&id.parse().unwrap());
        for inside in ["a.x.1.5", "a.x.1.9", "a.x.2.1", "b.1.3"] {
            assert!(covers(inside), "{inside}");
        }
        for outside in ["a.x.1.4", "a.x.1.10", "a.x.2.5", "a.x.3.1", "b.1.4", "c.1.3", "a.1.5"] {
            assert!(!covers(outside), "{outside}");
        }
        let before = spans.clone();
        spans.share(&mut Names::default());
        assert_eq!(spans, before);
        let backwards = r#"{"b":[{"epoch":1,"first":3,"last":3}],"a":[{"epoch":1,"first":1,"last":2}]}"#;
        let spans: SourceSpans = serde_json::from_str(backwards).unwrap();
        assert!(spans.covers(&"a.1.2".parse().unwrap()) && spans.covers(&"b.1.3".parse().unwrap()));
    }
}
