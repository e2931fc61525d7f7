//! The catalogue, row by row.
