//! What the benchmarks share.
//!
//! Results are in `docs/benchmarks.md`, with the machine they were measured on.

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod made;
pub mod recorder;
