//! Under construction.
pub mod manifest;
pub mod store;
pub mod tree;
