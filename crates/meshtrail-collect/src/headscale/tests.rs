//! Headscale pollers against a stand-in.
