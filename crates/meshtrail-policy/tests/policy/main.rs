//! Policies against vectors: what Tailscale's own control plane was seen to do, and what people asked in the field.
//!
//! `tests/vectors/README.md` says where each file comes from.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod access_diff;
mod conditions;
mod logins;
mod mesh_file;
mod own_tests;
mod reach_captures;
mod ssh_captures;
