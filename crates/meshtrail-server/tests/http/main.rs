//! A whole server over a temporary store, tested over a real listener.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod api;
mod changes;
mod imports;
mod limits;
mod mesh;
mod policy;
mod recordings;
mod sign_in;
mod sources;
mod test_server;
mod timeline;
mod who;
