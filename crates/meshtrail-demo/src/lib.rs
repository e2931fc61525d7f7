//! Generated data of a fictitious company: the same seed always gives the same data.
//!
//! - [`Company`]: people, groups, time zones, devices, as a control plane would report them.
//! - [`Story`]: thirty days with recordings and one incident, for the demo.
//! - [`SyntheticEvents`]: any number of events with a realistic distribution, for benchmarks.
//!
//! Names and addresses are those reserved for examples (RFC 2606, RFC 5737) and 100.64.0.0/10. Nothing here reads a clock, a
//! file or a network: the caller stores the events, and marks them as generated.

mod calendar;
mod company;
mod names;
mod random;
mod recording;
mod story;
mod synthetic;

pub use company::{Company, Machine, Member, Size};
pub use random::Random;
pub use recording::DemoRecording;
pub use story::{DAYS, Item, Story, StoryEvent};
pub use synthetic::{SyntheticEvents, SyntheticEventsIter};
