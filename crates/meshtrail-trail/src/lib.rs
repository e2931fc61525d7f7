//! Under construction.
mod dedupe;
pub mod fault;
pub mod manifest;
pub mod note;
pub mod retention;
#[cfg(test)]
mod sealed_fixture;
pub mod segment;
pub mod store;
pub mod tree;
pub mod wal;
pub mod verify;
