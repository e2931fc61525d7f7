//! Acknowledgements: each channel numbers its requests once they are durable.

use std::sync::{Mutex, PoisonError};

use meshtrail_trail::Recent;

/// The most channels in memory; a sender whose channel was dropped sends again.
const CHANNELS: usize = 4096;

/// The next number of each channel.
#[derive(Default)]
pub(crate) struct Channels(Mutex<Recent<String, CHANNELS, u64>>);

impl Channels {
    /// The next number, for a request that is durable.
    pub(crate) fn next(&self, channel: String) -> u64 {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = channels.get_or_insert(channel, 0);
        let number = *next;
        *next += 1;
        number
    }

    /// Whether the request of this number is durable; false if its channel was dropped.
    pub(crate) fn is_durable(&self, channel: &str, number: u64) -> bool {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.get(channel).is_some_and(|&next| number < next)
    }
}

/// Whether a text is a channel: a GUID.
pub(crate) fn is_channel(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
