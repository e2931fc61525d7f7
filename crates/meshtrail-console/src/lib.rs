//! The console: pages rendered on the server; scripts add live updates, playback and proofs.
//!
//! - Pages are made of plain structs. Of a request they know the query parameters alone; they know no state of a server
//!   and read no trail. What a reader may see and do is decided before.
//! - Lists and events are readable without scripts; the address holds all state of a list.
//! - Nothing is called "proven" until the reader's browser has computed the proof.
//! - Text from other machines is shown with control characters visible, and isolated (`format`).
//! - Viewing a list is not an event; viewing a recording is, and pages announce it before they fetch one.
//!
//! Each page is a module with a struct of what it shows, whose `render` gives the content; [`layout::Shell`] puts the
//! document around it. [`sentence`] describes events in words, for pages and for whatever else describes events.

mod activity_chart;
pub mod assets;
pub mod changes_page;
mod components;
mod csp;
pub mod device_page;
pub mod devices_page;
mod diff;
pub mod event_page;
pub mod events_counts;
pub mod events_page;
pub mod exports_page;
mod format;
pub mod layout;
pub mod nav;
pub mod network_page;
pub mod pack_frame;
pub mod page_filter;
pub mod people_page;
pub mod person_page;
mod policy_effect;
pub mod public_pages;
mod quantities;
pub mod sentence;
pub mod session_page;
pub mod sessions_page;
pub mod sources_page;
pub mod view;

pub use maud::Markup;
