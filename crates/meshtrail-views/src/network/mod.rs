//! Who exchanged traffic with whom: the counts of both endpoints side by side, grouped by person, group, tag or device.
//!
//! - What one endpoint sent and what the other received are two counts of the same traffic; they are never added up.
//! - An endpoint that reports nothing, or only what it sends, is marked; a missing count is not zero.
//! - An endpoint has the owner it had at the time of the traffic: a device whose owner changed is two endpoints.
//!
//! How flows enter the trail is not known here.

mod cache;
mod edges;
mod grid;

pub use cache::{TrafficCache, TrafficMatrix, TrafficQuery};
pub use edges::{CountAgreement, TrafficEdge, TrafficEndpoint};
pub use grid::{Cell, Grid, GridGroup, Grouping, edges_between};
