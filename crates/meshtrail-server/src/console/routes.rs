//! The console's routes: path, required capability and handler of each page.

use axum::routing::{get, post};

use super::{export_handlers, handlers, mesh_handlers, public_handlers};
use crate::auth::Capability;
use crate::route::Route;

/// The console's rows of the server's route table.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::page("/", Capability::Read, get(handlers::home)),
        Route::page("/sessions", Capability::Read, get(handlers::sessions)),
        Route::page("/sessions/{id}", Capability::Read, get(handlers::session)),
        Route::page("/events", Capability::Read, get(handlers::events)),
        Route::page("/events/{id}", Capability::Read, get(handlers::event)),
        Route::page("/events/at/{index}", Capability::Read, get(handlers::event_at)),
        Route::page("/people", Capability::Read, get(mesh_handlers::people)),
        Route::page("/people/{login}", Capability::Read, get(mesh_handlers::person)),
        Route::page("/devices", Capability::Read, get(mesh_handlers::devices)),
        Route::page("/devices/{id}", Capability::Read, get(mesh_handlers::device)),
        Route::page("/changes", Capability::Read, get(mesh_handlers::changes)),
        Route::page("/network", Capability::Read, get(mesh_handlers::network)),
        Route::page("/sources", Capability::Read, get(mesh_handlers::sources)),
        Route::page("/exports", Capability::Export, get(export_handlers::exports)),
        Route::form("/exports", Capability::Export, post(export_handlers::create)),
        Route::page("/sign-in", Capability::Open, get(public_handlers::sign_in)),
        Route::page("/static/{version}/{*name}", Capability::Open, get(public_handlers::asset_file)),
    ]
}
