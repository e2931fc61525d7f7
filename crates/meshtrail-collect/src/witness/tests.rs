//! Which events tell of one change.
