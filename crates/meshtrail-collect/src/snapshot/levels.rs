//! What becomes so by time alone, or stays so: told once, and again after it was otherwise.

use std::time::Duration;

use meshtrail_event::{Draft, Kind, Timestamp};
use meshtrail_identity::DeviceState;
use serde::{Deserialize, Serialize};

use super::tell::{Subject, Teller, with_states};
use crate::diff::{is_expired, words};

/// After how many days without being seen a device is told of.
pub(super) const UNSEEN_DAYS: [u64; 2] = [30, 90];

const DAY: Duration = Duration::from_secs(86_400);

/// How long a device may stay connected with an expired key before that is told: taking it off the mesh takes time.
const GRACE: Duration = Duration::from_secs(600);

/// What was told of a device already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// The `expires` that was told as past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired: Option<Timestamp>,
    /// The `expires` that was told as past while it was connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired_active: Option<Timestamp>,
    /// The days that were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unseen_days: Option<u64>,
    /// The `last_seen` that they were counted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unseen_since: Option<Timestamp>,
}

impl Told {
    /// Whether nothing was told.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `self`, which is newer, and `older` tell together.
    pub(super) fn or(self, older: &Self) -> Self {
        let unseen = self.unseen_since.is_some();
        Self {
            expired: self.expired.or(older.expired),
            expired_active: self.expired_active.or(older.expired_active),
            unseen_days: if unseen { self.unseen_days } else { older.unseen_days },
            unseen_since: self.unseen_since.or(older.unseen_since),
        }
    }

    /// What an event of this kind told of a device in this state.
    pub(super) fn by(kind: &Kind, device: &DeviceState, property: Option<&str>) -> Self {
        let marker = Some(device.expires.unwrap_or_default());
        match kind {
            Kind::KeyExpired => Self { expired: marker, ..Self::default() },
            Kind::DeviceExpiredActive => Self { expired_active: marker, ..Self::default() },
            Kind::DeviceUnseen => Self {
                unseen_days: property
                    .and_then(|word| word.strip_prefix("unseen_")?.strip_suffix("_days")?.parse().ok()),
                unseen_since: device.last_seen,
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// What is to be told of a device in this state, beside what was told, and what is told then.
pub(super) fn device(teller: &Teller, device: &DeviceState, told: &Told) -> (Vec<Draft>, Told) {
    let mut drafts = Vec::new();
    let subject = Subject::device(device);
    let who = words::device(device);
    let mut push = |kind, property: &str, what: String, time: Timestamp| {
        let mut draft = teller.change(kind, &subject, property, format!("{who} {what}"));
        draft.time = time.min(teller.taken);
        drafts.push(with_states(draft, None, Some(device)));
    };
    let mut now = told.clone();
    if is_expired(device, teller.taken) {
        let marker = Some(device.expires.unwrap_or_default());
        let since = device.expires.unwrap_or(teller.taken);
        if told.expired != marker {
            push(Kind::KeyExpired, "expires", "has an expired key".to_owned(), since);
            now.expired = marker;
        }
        let connected = device.online == Some(true);
        if connected && told.expired_active != marker && teller.taken.since(since) >= GRACE {
            let what = words::until("is still connected though its key expired", device.expires);
            push(Kind::DeviceExpiredActive, "expired_active", what, teller.taken);
            now.expired_active = marker;
        }
    }
    if let Some(last_seen) = device.last_seen.filter(|_| device.online != Some(true)) {
        let days = teller.taken.since(last_seen).as_secs() / DAY.as_secs();
        let before = told.unseen_days.filter(|_| told.unseen_since == Some(last_seen)).unwrap_or(0);
        if let Some(&crossed) = UNSEEN_DAYS.iter().rev().find(|&&level| days >= level && before < level) {
            let key = match device.key_expiry_disabled {
                Some(true) => "; its key never expires",
                _ => "",
            };
            let what = format!("was not seen for {crossed} days, since {}{key}", words::minute(last_seen));
            let time = last_seen.after(DAY * u32::try_from(crossed).unwrap_or(u32::MAX));
            push(Kind::DeviceUnseen, &format!("unseen_{crossed}_days"), what, time);
            (now.unseen_days, now.unseen_since) = (Some(crossed), Some(last_seen));
        }
    }
    (drafts, now)
}
