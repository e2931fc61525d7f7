//! Parsing as the receivers do it, without storing anything: for fuzz targets. Nothing here panics, whatever the bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use meshtrail_event::{Draft, Event, EventError, EventId, Timestamp};
use meshtrail_identity::History;

use super::{body, bulk, hec, logtail, webhook};

/// The drafts for the log lines of an upload, without flow reports.
pub fn logtail(upload: &[u8], now: Timestamp) -> Vec<Draft> {
    logtail::drafts(upload, History::new(), now)
}

/// Whether the event collector would accept the whole body.
pub fn hec(body: &[u8]) -> bool {
    hec::accepts(&Bytes::copy_from_slice(body))
}

/// Number of documents in a `_bulk` body; none if its actions can't be parsed.
pub fn bulk(body: &[u8]) -> Option<usize> {
    bulk::count_documents(body)
}

/// Whether a webhook's signature header is valid for a body.
pub fn webhook(header: &str, body: &[u8], secret: &str, now: Timestamp) -> bool {
    let Ok(value) = HeaderValue::from_str(header) else { return false };
    let name = HeaderName::from_static("tailscale-webhook-signature");
    webhook::verify(&HeaderMap::from_iter([(name, value)]), body, secret, now).is_ok()
}

/// Decompresses a body to at most `most` bytes.
pub fn decode(packed: &[u8], gzip: bool, most: usize) -> Option<Bytes> {
    let decoder = if gzip { body::gunzip } else { body::unzstd };
    decoder(packed, most).ok()
}

/// Whether a trail would accept the event of a draft.
pub fn check(draft: Draft, now: Timestamp) -> Result<Event, EventError> {
    let id = EventId { source: "main.fuzz".parse().expect("a source's name"), epoch: 1, sequence: 1 };
    let event = draft.into_event(id, now);
    event.check().map(|_| event)
}
