//! The HTTP API as types: what a server answers, what it is asked, and a client that asks.
//!
//! ```
//! use meshtrail_api::sessions::{SessionState, SessionsPage};
//!
//! // Members from a newer server are ignored.
//! let page: SessionsPage = serde_json::from_str(r#"{"sessions":[],"next":"s1","newer":1}"#)?;
//! assert!(page.sessions.is_empty());
//! assert_eq!(SessionState::from("live"), SessionState::Live);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! - One module per resource; [`problem`] is the body of every error.
//! - Answers ignore members that this version does not know, and keep words that it does not know; requests are strict:
//!   an older server names what it can't read.
//! - Lists that the command line prints as JSON are generic over their items, so that each is printed as it was sent.
//! - Feature `schema`: OpenAPI schemas of the types, for the server. Feature `client`: `client`, the HTTP client.
//!
//! No conversion from other types: a server makes these types from what it knows.

pub mod changes;
#[cfg(feature = "client")]
pub mod client;
pub mod completions;
pub mod counts;
pub mod devices;
pub mod directory;
pub mod events;
pub mod exports;
pub mod flows;
pub mod health;
mod open_enum;
pub mod people;
pub mod policy;
pub mod problem;
pub mod proofs;
pub mod query;
pub mod recordings;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sessions;
pub mod sources;
pub mod tokens;
pub mod who;
