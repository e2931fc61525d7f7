//! What receivers make of bytes before anything is stored: for fuzz targets and for whoever wants to know without a
//! server. Nothing here panics, whatever the bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use meshtrail_event::{Draft, Event, EventError, EventId, Timestamp};
use meshtrail_identity::History;

use super::{body, bulk, hec, logtail, webhook};

/// The drafts of an upload's lines; flow reports are left out.
pub fn logtail(upload: &[u8], now: Timestamp) -> Vec<Draft> {
    logtail::drafts(upload, History::new(), now)
}

/// Whether an event collector would take the whole body.
pub fn hec(body: &[u8]) -> bool {
    hec::takes(&Bytes::copy_from_slice(body))
}

/// How many documents a `_bulk` body has, where its actions can be read.
pub fn bulk(body: &[u8]) -> Option<usize> {
    bulk::documents(body)
}

/// Whether a webhook's signature header holds for a body.
pub fn webhook(header: &str, body: &[u8], secret: &str, now: Timestamp) -> bool {
    let Ok(value) = HeaderValue::from_str(header) else { return false };
    let name = HeaderName::from_static("tailscale-webhook-signature");
    webhook::check(&HeaderMap::from_iter([(name, value)]), body, secret, now).is_ok()
}

/// What a packed body decodes to, at most `most` bytes.
pub fn unpacked(packed: &[u8], gzip: bool, most: usize) -> Option<Bytes> {
    let decode = if gzip { body::gunzip } else { body::unzstd };
    decode(packed, most).ok()
}

/// Whether a trail would hold a draft.
pub fn holds(draft: Draft, now: Timestamp) -> Result<Event, EventError> {
    let id = EventId { source: "main.fuzz".parse().expect("a source's name"), epoch: 1, sequence: 1 };
    let event = draft.into_event(id, now);
    event.check().map(|_| event)
}
