//! Acknowledgements: each channel counts its requests, and what was counted is durable.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Channels that are remembered; a sender whose channel was forgotten sends again.
const CHANNELS: usize = 4096;

/// The next number of each channel.
#[derive(Default)]
pub(crate) struct Channels(Mutex<(HashMap<String, u64>, VecDeque<String>)>);

impl Channels {
    /// The number of a request that is durable.
    pub(crate) fn next(&self, channel: String) -> u64 {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, order) = &mut *held;
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

    /// Whether the request of this number is durable, as far as is remembered.
    pub(crate) fn is_durable(&self, channel: &str, number: u64) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.0.get(channel).is_some_and(|&next| number < next)
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
