//! One module per command, from its arguments to its output.

pub(crate) mod changes;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod exports;
pub(crate) mod follow;
pub(crate) mod import;
pub(crate) mod play;
pub(crate) mod policy;
pub(crate) mod proof;
pub(crate) mod query;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod sources;
pub(crate) mod tokens;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod who;
