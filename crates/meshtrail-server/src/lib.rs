//! The HTTP API and the console of Meshtrail, and the wiring behind `meshtrail serve`.
//!
//! - Every route is in one table with the capability it requires ([`routes`]); authorisation wraps that
//!   table once ([`authorisation`]).
//! - Every view, export, kill, sign-in and change is written to the trail before the response is sent
//!   ([`audit_log`]).
//! - A leaf is returned byte for byte as the trail holds it.
//! - Request bodies, pages, waiting times and tables are bounded; a refusal is a problem document with an id
//!   that also appears in the log ([`problem`]).
//!
//! Storing and proving events, keeping recordings, and parsing filters are the job of the crates below.

#![allow(missing_docs, reason = "an application crate: docs only where the name does not say enough")]

pub mod api;
pub mod audit_log;
pub mod auth;
pub mod authorisation;
pub mod config;
pub mod console;
pub mod counts;
mod cursor;
pub mod direct;
pub mod directory;
pub mod exports;
mod extract;
pub mod middleware;
pub mod pack;
mod page_response;
pub mod problem;
pub mod route;
pub mod routes;
pub mod serve;
mod sign_in;
pub mod state;

pub use config::{Config, ConfigError};
pub use state::AppState;
