//! The HTTP API and the console of Meshtrail, and what `meshtrail serve` wires together.
//!
//! - Every route stands in one table with the capability it needs ([`routes`]); authorisation wraps that
//!   table once ([`auth::gate`]).
//! - Looking is an event: a view, an export, a kill, a sign-in and a change are in the trail before the
//!   answer goes out.
//! - A leaf goes out byte for byte as the trail holds it.
//! - Bodies, pages, waiting and tables are bounded; what is refused is refused as a problem with an id that
//!   is in the log ([`problem`]).
//!
//! How events are stored and proven, recordings kept, and filters read is the business of the crates below.

pub mod answer;
pub mod api;
pub mod auth;
pub mod config;
pub mod console;
pub mod counts;
mod cursor;
pub mod diary;
pub mod direct;
pub mod directory;
pub mod durable;
pub mod exports;
mod extract;
pub mod mesh;
pub mod network;
pub mod pack;
pub mod problem;
pub mod routes;
pub mod serve;
mod sign_in;
pub mod state;

pub use config::{Config, ConfigError};
pub use state::AppState;
