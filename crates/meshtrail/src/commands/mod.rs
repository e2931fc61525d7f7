//! One module per command: from its arguments to its output.

pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod play;
pub(crate) mod proof;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod tokens;
pub(crate) mod verify;
pub(crate) mod version;
