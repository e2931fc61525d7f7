//! SQL over a trail.
