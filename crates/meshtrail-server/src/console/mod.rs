//! The console: pages rendered on the server; scripts add live updates, playback and proofs.
//!
//! - Lists and events are readable without scripts; the address holds all state of a list.
//! - Nothing is called "proven" until the reader's browser has computed the proof.
//! - Text from other machines is shown with control characters visible, and isolated (`format`).
//! - Viewing a list is not an event; viewing a recording is, and pages announce it before they fetch one.
//!
//! Handlers (`handlers`, `*_handlers`) get what a page shows from the functions behind the API; how it is stored is not
//! known here. Pages (`*_page` and what they share) are made of plain structs, and know neither state nor requests.

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
mod export_handlers;
pub mod exports_page;
mod format;
mod handlers;
pub mod layout;
mod mesh_handlers;
pub mod nav;
pub mod network_page;
pub mod pack_frame;
pub mod page_filter;
pub mod people_page;
pub mod person_page;
mod public_handlers;
pub mod public_pages;
mod quantities;
mod routes;
pub mod sentence;
pub mod session_page;
pub mod sessions_page;
pub mod sources_page;
pub mod view;

pub(crate) use routes::routes;
