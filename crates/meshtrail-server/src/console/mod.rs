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
mod assets;
mod changes_page;
mod components;
mod device_page;
mod devices_page;
mod diff;
mod event_page;
mod events_counts;
mod events_page;
mod export_handlers;
mod exports_page;
mod format;
mod handlers;
mod layout;
mod mesh_handlers;
mod nav;
mod network_page;
mod page_filter;
mod page_response;
mod people_page;
mod person_page;
mod public_handlers;
mod public_pages;
mod routes;
mod sentence;
mod session_page;
mod sessions_page;
mod sources_page;
mod view;

pub(crate) use public_handlers::problem_page;
pub(crate) use routes::routes;
pub use sentence::{Sentence, sentence};
