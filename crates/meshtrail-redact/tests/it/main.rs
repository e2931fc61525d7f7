//! Secrets as they are met, and none of their forms in what is left.
#![expect(clippy::unwrap_used, reason = "tests")]

mod arguments;
mod bodies;
mod hostile;
mod needles;
mod targets;
