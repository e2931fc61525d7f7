//! Code that the benchmarks share.
//!
//! Results are in `docs/benchmarks.md`, with the machine on which they were measured.

/// The same allocator as in `meshtrail`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod generator;
pub mod recorder;
