//! The route table: method, path, required capability, and handler of every route.
//!
//! - A route that is not in [`table`] is not served; authorisation wraps each route as the router is built.
//! - API routes carry their own OpenAPI description, from which the document is generated.
//! - `tests/golden/routes.txt` shows roles × routes; a test fails when the table and that file differ.

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;

use crate::auth::Capability;
use crate::route::Route;
use crate::state::AppState;
use crate::{api, authorisation, console, middleware, sign_in};

pub fn table() -> Vec<Route> {
    let mut table = api::routes();
    table.push(Route::page("/api/openapi.json", Capability::Open, get(async || Json(openapi()))));
    table.extend(sign_in::routes());
    table.extend(console::routes());
    table
}

/// Builds the router that serves the table.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for route in table() {
        let guard = from_fn_with_state((state.clone(), route.needs), authorisation::authorise);
        router = router.route(&route.path, route.handler.route_layer(guard));
    }
    let router = router
        .fallback(async || crate::problem::Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || crate::problem::Problem::method_not_allowed());
    middleware::wrap(router, state)
}

/// Generates the OpenAPI document from the table.
pub fn openapi() -> OpenApi {
    let mut document = api::document();
    let mut schemas = Vec::new();
    for route in table() {
        schemas.extend(route.schemas);
        for (path, item) in route.docs.into_iter().flat_map(|docs| docs.paths) {
            match document.paths.paths.get_mut(&path) {
                Some(existing) => existing.merge_operations(item),
                None => drop(document.paths.paths.insert(path, item)),
            }
        }
    }
    document.components.get_or_insert_default().schemas.extend(schemas);
    document
}
