//! Session recordings: the recorder protocol, durable storage, playback.

pub mod cast;
pub mod check;
mod faults;
pub mod journal;
pub mod seal;
