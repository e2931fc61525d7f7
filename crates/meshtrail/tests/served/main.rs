//! The command line against servers that it starts itself, and against the stores that they leave.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod first_look;
mod private;
mod proof;
mod running;
mod sessions;
