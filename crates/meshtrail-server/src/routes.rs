//! The route table: method, path, required capability, and handler of every route.
//!
//! - A route that is not in [`table`] is not served; authorisation wraps each route as the router is built.
//! - API routes carry their own OpenAPI description, from which the document is generated.
//! - `tests/golden/routes.txt` shows roles × routes; a test fails when the table and that file differ.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use http::Method;
use utoipa::openapi::path::Paths;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::auth::Capability;
use crate::state::AppState;
use crate::{api, authorisation, console, middleware, sign_in};

/// One route of the table.
pub struct Route {
    /// The only method it accepts; `GET` includes `HEAD`.
    pub method: Method,
    /// The path, with `{name}` for one segment and `{*name}` for the rest.
    pub path: String,
    pub needs: Capability,
    handler: MethodRouter<AppState>,
    schemas: Vec<(String, RefOr<Schema>)>,
    docs: Option<Paths>,
}

impl Route {
    /// An API route: method, path and description come from the handler's `#[utoipa::path]`.
    pub fn api(needs: Capability, routes: UtoipaMethodRouter<AppState>) -> Route {
        let (schemas, docs, handler) = routes;
        let (path, item) = docs.paths.iter().next().expect("routes! always names one path");
        let method = match item {
            item if item.get.is_some() => Method::GET,
            item if item.post.is_some() => Method::POST,
            item if item.delete.is_some() => Method::DELETE,
            _ => Method::PUT,
        };
        Route { method, path: path.clone(), needs, handler, schemas, docs: Some(docs) }
    }

    /// Serves the route under a pattern that OpenAPI can't express, such as `{*rest}`.
    #[must_use]
    pub fn with_served_path(mut self, path: &str) -> Route {
        self.path = path.to_owned();
        self
    }

    /// Wraps the handler in a layer.
    #[must_use]
    pub fn with_layer<L>(mut self, layer: L) -> Route
    where
        L: tower::Layer<axum::routing::Route> + Clone + Send + Sync + 'static,
        L::Service: tower::Service<axum::extract::Request, Error = std::convert::Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as tower::Service<axum::extract::Request>>::Response:
            axum::response::IntoResponse + 'static,
        <L::Service as tower::Service<axum::extract::Request>>::Future: Send + 'static,
    {
        self.handler = self.handler.layer(layer);
        self
    }

    /// A page or an asset: `GET`, not part of the OpenAPI document.
    pub fn page(path: &str, needs: Capability, handler: MethodRouter<AppState>) -> Route {
        Route::plain(Method::GET, path, needs, handler)
    }

    /// The target of a form: `POST`, not part of the OpenAPI document.
    pub fn form(path: &str, needs: Capability, handler: MethodRouter<AppState>) -> Route {
        Route::plain(Method::POST, path, needs, handler)
    }

    fn plain(method: Method, path: &str, needs: Capability, handler: MethodRouter<AppState>) -> Route {
        Route { method, path: path.to_owned(), needs, handler, schemas: Vec::new(), docs: None }
    }
}

pub fn table() -> Vec<Route> {
    let mut table = api::routes();
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
