//! Pollers against the stand-in.
