//! The command line against servers that the tests start, and against their stores.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod getting_started;
mod private;
mod proof;
mod server_process;
mod sessions;
