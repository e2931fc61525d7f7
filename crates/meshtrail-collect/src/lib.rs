//! What the mesh and its control planes tell.
