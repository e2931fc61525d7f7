//! The console's routes and handlers.
//!
//! Handlers get what a page shows from the functions behind the API, or from [`meshtrail_views`], and give it to the
//! page, which is in [`meshtrail_console`]; how it is stored is not known here.

mod export_handlers;
mod handlers;
mod mesh_handlers;
mod public_handlers;
mod routes;

pub(crate) use routes::routes;
