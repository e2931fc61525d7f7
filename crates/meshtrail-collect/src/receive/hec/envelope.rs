//! Parses events in their envelopes: `{"time": …, "event": …, "fields": …}`, concatenated or in a list.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use meshtrail_change::catalogue::Groups;
use meshtrail_event::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::splunk_response::{SplunkCode, SplunkResponse};
use crate::receive::record::{IncomingRecord, RecordBatch};

/// The most events of one request.
const MAX_EVENTS: usize = 1 << 18;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(default, borrow)]
    fields: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(borrow)]
    host: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    sourcetype: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
}

/// Parses a body. An invalid event refuses the whole body; the response names it.
pub(crate) fn read(protocol: &str, body: &Bytes) -> Result<RecordBatch, SplunkResponse> {
    let mut envelopes = Vec::new();
    for (at, raw) in split_envelopes(body).enumerate() {
        let wrong = |error: serde_json::Error| {
            SplunkResponse::new(SplunkCode::InvalidData).for_event(at).with_reason(error.to_string())
        };
        let envelope: Envelope<'_> = serde_json::from_str(raw.map_err(wrong)?.get()).map_err(wrong)?;
        let event = envelope.event.filter(|event| event.get() != "null");
        let event = event.ok_or_else(|| SplunkResponse::new(SplunkCode::NoEvent).for_event(at))?;
        if event.get() == "\"\"" {
            return Err(SplunkResponse::new(SplunkCode::BlankEvent).for_event(at));
        }
        if at >= MAX_EVENTS {
            return Err(SplunkResponse::new(SplunkCode::InvalidData)
                .for_event(at)
                .with_reason(format!("more than {MAX_EVENTS} events")));
        }
        envelopes.push((event, envelope));
    }
    let groups = Groups::of(envelopes.iter().map(|(event, _)| event.get().as_bytes()));
    let mut records = RecordBatch::default();
    for (at, (event, envelope)) in envelopes.iter().enumerate() {
        let added =
            to_record(event, envelope).and_then(|record| records.add(at, protocol, body, record, &groups));
        added.map_err(|reason| {
            SplunkResponse::new(SplunkCode::InvalidData).for_event(at).with_reason(reason)
        })?;
    }
    Ok(records)
}

fn split_envelopes<'a>(body: &'a [u8]) -> Box<dyn Iterator<Item = serde_json::Result<&'a RawValue>> + 'a> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Ok(list) => Box::new(list.into_iter().map(Ok)),
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
    }
    Box::new(serde_json::Deserializer::from_slice(body).into_iter())
}

fn to_record<'a>(event: &'a RawValue, envelope: &Envelope<'a>) -> Result<IncomingRecord<'a>, String> {
    let recorded = envelope.fields.as_ref().and_then(|fields| fields.get("recorded"));
    let logged = recorded.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let named = [
        ("host", envelope.host),
        ("source", envelope.source),
        ("sourcetype", envelope.sourcetype),
        ("index", envelope.index),
    ];
    let value = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    let mut metadata: Map<String, Value> =
        named.into_iter().filter_map(|(name, raw)| Some((name.to_owned(), value(raw?)))).collect();
    if let Some(fields) = &envelope.fields {
        let fields: Map<String, Value> =
            fields.iter().map(|(name, raw)| (name.clone().into_owned(), value(raw))).collect();
        metadata.insert("fields".to_owned(), Value::Object(fields));
    }
    Ok(IncomingRecord {
        json: event.get().as_bytes(),
        time: envelope.time.map(time).transpose()?,
        logged,
        metadata: (!metadata.is_empty()).then_some(Value::Object(metadata)),
    })
}

/// Parses seconds since the Unix epoch, a decimal as number or text, to the nanosecond.
fn time(raw: &RawValue) -> Result<Timestamp, String> {
    let wrong = || format!("time: {} is not seconds since 1970 as a decimal number", raw.get());
    let text = raw.get().trim_matches('"').trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let seconds = whole.parse().ok().and_then(Timestamp::from_seconds).ok_or_else(wrong)?;
    let nanos = format!("{:0<9}", &part[..part.len().min(9)]).parse().map_err(|_| wrong())?;
    Ok(seconds.after(std::time::Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_its_last_digit() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let read = |text: &str| time(&raw(text)).map(|time| time.to_string());
        assert_eq!(read("1795167605.773").unwrap(), "2026-11-20T09:40:05.773000000Z");
        assert_eq!(read("\"1795167605.773000001\"").unwrap(), "2026-11-20T09:40:05.773000001Z");
        assert_eq!(read("1795167605").unwrap(), "2026-11-20T09:40:05.000000000Z");
        for bad in ["-1", "1e9", "\"\"", "\"soon\"", "true", "99999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_broken_event_refuses_all_and_is_named() {
        let body = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let good = r#"{"time":1795167605.773,"event":"hello","fields":{"a":"b"}}"#;
        assert!(!read("hec", &body(&format!("{good}{good}\n{good}"))).unwrap_or_default().is_empty());
        assert!(!read("hec", &body(&format!("[{good},{good}]"))).unwrap_or_default().is_empty());
        for (text, code, at) in [
            (format!("{good}{{\"time\":1}}"), SplunkCode::NoEvent, 1),
            (format!("{good}{good}{{\"event\":\"\"}}"), SplunkCode::BlankEvent, 2),
            (format!("{good}{{\"event\""), SplunkCode::InvalidData, 1),
            (
                format!("{good}{{\"event\":{{\"nodeId\":\"n\",\"start\":1,\"end\":2}}}}"),
                SplunkCode::InvalidData,
                1,
            ),
        ] {
            let refused = read("hec", &body(&text)).err().unwrap();
            let shown = format!("{refused:?}");
            assert!(
                shown.contains(&format!("{code:?}")) && shown.contains(&format!("Some({at})")),
                "{shown}"
            );
        }
    }
}
