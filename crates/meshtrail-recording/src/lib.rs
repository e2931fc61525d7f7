//! Session recordings: the recorder protocol, durable storage, playback.

pub mod cast;
mod faults;
pub mod journal;
