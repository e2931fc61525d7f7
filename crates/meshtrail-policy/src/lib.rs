//! Policies of a mesh: what their files say, what follows for people and devices, and what changes from one to the next.
//!
//! ```
//! let old = r#"{ "groups": { "group:dev": ["ana@example.com"] } }"#;
//! let new = r#"{ "groups": { "group:dev": ["ana@example.com", "bo@example.com"] } }"#;
//! assert_eq!(meshtrail_policy::compare(old, new).lines, ["group:dev: bo@example.com added"]);
//! ```
//!
//! The text:
//!
//! - [`hujson`]: the syntax of policy files, as nodes with their lines and comments.
//! - [`compare`]: the changes from one policy to the next, in sentences. [`groups`]: a policy's groups.
//! - [`unified`]: the diff of two texts. [`json`]: the differences between two JSON values.
//!
//! What follows from it, for the people and devices of one moment ([`Directory`], indexed as [`Mesh`]):
//!
//! - [`Policy::login`]: may this login be, by which rule, and which rules almost matched.
//! - [`Policy::changes_since`]: what a policy opens and closes against an older one, in people and machines.
//! - [`Policy::capabilities`]: which app capabilities a peer has towards a target.
//! - [`Policy::run_tests`]: the policy's own tests.
//! - [`Policy::who_can_reach`], [`Policy::reachable_from`]: who can reach what, on which ports.
//!
//! Where policies, people and devices come from, and the events about them, are not known here. No I/O, no clock.
//! docs/policy.md says what is evaluated, and where control planes differ.

mod access;
mod access_diff;
mod address;
mod capabilities;
mod compile;
mod control_plane;
mod diff;
mod directory;
mod error;
mod file;
pub mod hujson;
pub mod json;
mod login;
mod mesh;
mod ports;
mod reach;
mod self_tests;
mod states;
pub mod unified;

pub use access::Access;
pub use access_diff::{
    AccessChanges, Authority, AuthorityChange, CapabilityGrants, ChangeRow, Changes, DiffLimits,
    DifferentMeshes, Direction, Fold, LoginTerms, Logins, MAX_HOSTS, NetworkSide, PossibleChange, Side,
    Totals,
};
pub use address::{AddressSet, Prefix, PrefixError};
pub use capabilities::{Capabilities, Granted, OpenCapability};
pub use compile::{Policy, PolicySize};
pub use control_plane::ControlPlane;
pub use diff::{PolicyChange, compare, groups};
pub use directory::{
    AttributeValue, Attributes, Device, Directory, Hindrance, Membership, Person, Role, UnknownRole,
};
pub use error::{Fault, MAX_FAULTS, PolicyError};
pub use file::{CheckPeriod, RuleSite, Section};
pub use login::{
    Decision, LocalUser, LoginAnswer, LoginQuestion, OtherRule, PortAccess, Recording, Uid, Unmet,
};
pub use mesh::{DeviceRef, Mesh, PersonRef};
pub use ports::{ALL_PORTS, PortRange, PortSet, Protocol};
pub use reach::{DEFAULT_ROWS, MAX_RULES, Reach, ReachCondition, ReachRow, ReachSource, ReachTarget, Rows};
pub use self_tests::{TestOutcome, TestSection};
