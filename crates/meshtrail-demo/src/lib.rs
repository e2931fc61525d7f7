//! A made-up company, and everything that happened there: from a seed, always the same.
//!
//! - [`Company`]: people, groups, time zones, devices, as a control plane would tell of them.
//! - [`Story`]: thirty days of it, with recordings, and one night to be found, for a first look around.
//! - [`Masses`]: events as many as wanted, spread like real use, for benchmarks.
//!
//! Names and addresses are those that are kept for examples (RFC 2606, RFC 5737) and 100.64.0.0/10. Nothing here
//! reads a clock, a file or a network: where its events go, and that they are marked as made up, is the caller's part.

mod calendar;
mod company;
mod masses;
mod names;
mod random;
mod story;
mod tape;

pub use company::{Company, Machine, Member, Size};
pub use masses::{Making, Masses};
pub use random::Random;
pub use story::{DAYS, Item, Story, Told};
pub use tape::Tape;
