//! What becomes true of a device by the passage of time alone: its key is expired, or it was not seen for some days.
//!
//! The control plane reports no change when this happens: only the clock moved. Each such level is raised once, and
//! again after the device left it: with another expiry time, or after it was seen. [`RaisedLevels`] is what was raised
//! already; it is rebuilt from the events themselves, so that a restart repeats nothing.

use std::time::Duration;

use meshtrail_event::{DeviceState, Draft, Kind, Timestamp};
use serde::{Deserialize, Serialize};

use super::change_writer::{ChangeWriter, Subject, with_states};
use crate::diff::{is_expired, words};

/// The days without being seen after which `device.unseen` is raised, in ascending order.
pub(super) const UNSEEN_DAYS: [u64; 2] = [30, UNSEEN_FINDING_DAYS];

/// The days of the `device.unseen` event that is also worth a finding. The titles of these findings name the number.
pub(crate) const UNSEEN_FINDING_DAYS: u64 = 90;

const DAY: Duration = Duration::from_secs(86_400);

/// How long a device may stay connected with an expired key before that is raised: disconnecting it takes the control
/// plane some time.
const GRACE: Duration = Duration::from_secs(600);

/// The `detail.property` of a `device.unseen` event: `unseen_90_days`.
pub(crate) fn unseen_property(days: u64) -> String {
    format!("unseen_{days}_days")
}

/// The days in a property that [`unseen_property`] wrote.
fn parse_unseen_property(property: &str) -> Option<u64> {
    property.strip_prefix("unseen_")?.strip_suffix("_days")?.parse().ok()
}

/// The levels of a device that events were written for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RaisedLevels {
    /// The device's `expires` in the last `key.expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired: Option<Timestamp>,
    /// The device's `expires` in the last `device.expired_active`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired_active: Option<Timestamp>,
    /// The days of the last `device.unseen`, one of [`UNSEEN_DAYS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unseen_days: Option<u64>,
    /// The `last_seen` that these days were counted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unseen_since: Option<Timestamp>,
}

impl RaisedLevels {
    /// Whether no level was raised.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fills levels that `self`, the newer one, lacks from `older`.
    pub(super) fn or(self, older: &Self) -> Self {
        let unseen = self.unseen_since.is_some();
        Self {
            expired: self.expired.or(older.expired),
            expired_active: self.expired_active.or(older.expired_active),
            unseen_days: if unseen { self.unseen_days } else { older.unseen_days },
            unseen_since: self.unseen_since.or(older.unseen_since),
        }
    }

    /// The level that an event of this kind raised for a device in this state; none for other kinds.
    pub(super) fn from_event(kind: &Kind, device: &DeviceState, property: Option<&str>) -> Self {
        let marker = Some(device.expires.unwrap_or_default());
        match kind {
            Kind::KeyExpired => Self { expired: marker, ..Self::default() },
            Kind::DeviceExpiredActive => Self { expired_active: marker, ..Self::default() },
            Kind::DeviceUnseen => Self {
                unseen_days: property.and_then(parse_unseen_property),
                unseen_since: device.last_seen,
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// Drafts for the levels that a device reached and that are not in `raised`, and the levels raised then.
pub(super) fn raise(
    writer: &ChangeWriter,
    device: &DeviceState,
    raised: &RaisedLevels,
) -> (Vec<Draft>, RaisedLevels) {
    let mut drafts = Vec::new();
    let subject = Subject::device(device);
    let who = words::device(device);
    let mut push = |kind, property: &str, what: String, time: Timestamp| {
        let mut draft = writer.change(kind, &subject, property, format!("{who} {what}"));
        draft.time = time.min(writer.taken);
        drafts.push(with_states(draft, None, Some(device)));
    };
    let mut now = raised.clone();
    if is_expired(device, writer.taken) {
        let marker = Some(device.expires.unwrap_or_default());
        let since = device.expires.unwrap_or(writer.taken);
        if raised.expired != marker {
            push(Kind::KeyExpired, "expires", "has an expired key".to_owned(), since);
            now.expired = marker;
        }
        let connected = device.online == Some(true);
        if connected && raised.expired_active != marker && writer.taken.since(since) >= GRACE {
            let what = words::with_time("is still connected though its key expired", device.expires);
            push(Kind::DeviceExpiredActive, "expired_active", what, writer.taken);
            now.expired_active = marker;
        }
    }
    if let Some(last_seen) = device.last_seen.filter(|_| device.online != Some(true)) {
        let days = writer.taken.since(last_seen).as_secs() / DAY.as_secs();
        let before = raised.unseen_days.filter(|_| raised.unseen_since == Some(last_seen)).unwrap_or(0);
        if let Some(&crossed) = UNSEEN_DAYS.iter().rev().find(|&&level| days >= level && before < level) {
            let key = match device.key_expiry_disabled {
                Some(true) => "; its key never expires",
                _ => "",
            };
            let what = format!("was not seen for {crossed} days, since {}{key}", words::minute(last_seen));
            let time = last_seen.after(DAY * u32::try_from(crossed).unwrap_or(u32::MAX));
            push(Kind::DeviceUnseen, &unseen_property(crossed), what, time);
            (now.unseen_days, now.unseen_since) = (Some(crossed), Some(last_seen));
        }
    }
    (drafts, now)
}
