//! Acknowledgements: each channel numbers its requests once they are durable.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The most channels in memory; a sender whose channel was dropped sends again.
const CHANNELS: usize = 4096;

/// The next number of each channel.
#[derive(Default)]
pub(crate) struct Channels(Mutex<(HashMap<String, u64>, VecDeque<String>)>);

impl Channels {
    /// The next number, for a request that is durable.
    pub(crate) fn next(&self, channel: String) -> u64 {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, order) = &mut *channels;
        if !next.contains_key(&channel) {
            order.push_back(channel.clone());
            if order.len() > CHANNELS
                && let Some(oldest) = order.pop_front()
            {
                next.remove(&oldest);
            }
        }
        let next = next.entry(channel).or_default();
        let number = *next;
        *next += 1;
        number
    }

    /// Whether the request of this number is durable; false if its channel was dropped.
    pub(crate) fn is_durable(&self, channel: &str, number: u64) -> bool {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.0.get(channel).is_some_and(|&next| number < next)
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
