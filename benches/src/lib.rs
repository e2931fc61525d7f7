//! What the benchmarks share.
//!
//! Results are in `docs/benchmarks.md`, with the machine they were measured on.

pub mod made;
pub mod recorder;
