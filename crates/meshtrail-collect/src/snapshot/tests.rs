//! Snapshots against a real trail.
