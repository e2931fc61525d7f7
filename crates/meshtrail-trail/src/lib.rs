//! Under construction.
pub mod manifest;
pub mod retention;
#[cfg(test)]
mod sealed_fixture;
pub mod segment;
pub mod store;
pub mod tree;
