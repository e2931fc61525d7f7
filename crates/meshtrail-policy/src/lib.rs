//! Policy files of a tailnet: HuJSON, and the changes between two of them.
//!
//! ```
//! let old = r#"{ "groups": { "group:dev": ["ana@example.com"] } }"#;
//! let new = r#"{ "groups": { "group:dev": ["ana@example.com", "bo@example.com"] } }"#;
//! assert_eq!(meshtrail_policy::compare(old, new).lines, ["group:dev: bo@example.com added"]);
//! ```
//!
//! - [`hujson`]: the syntax of policy files, as nodes with their lines and comments.
//! - [`compare`]: the changes from one policy to the next, in sentences. [`groups`]: a policy's groups.
//! - [`unified`]: the diff of two texts. [`json`]: the differences between two JSON values.
//!
//! Where policies come from, and the events about them, are not known here. No I/O.

mod diff;
pub mod hujson;
pub mod json;
pub mod unified;

pub use diff::{PolicyChange, compare, groups};
