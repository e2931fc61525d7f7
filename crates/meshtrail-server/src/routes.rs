//! Every route of the server: method, path, the capability it needs, and its handler, in one table.
//!
//! - A route that is not in [`table`] is not served; authorisation wraps each row as the router is built.
//! - API rows carry their own OpenAPI description, from which the document is made.
//! - `tests/golden/routes.txt` shows roles × routes; a test fails when the table and that file differ.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use http::Method;
use utoipa::openapi::path::Paths;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::auth::{Capability, gate};
use crate::state::AppState;
use crate::{answer, api, console, sign_in};

/// One row of the table.
pub struct Route {
    /// The one method it takes; `GET` takes `HEAD` as well.
    pub method: Method,
    /// The path, with `{name}` for one segment and `{*name}` for the rest.
    pub path: String,
    /// What it needs of the caller.
    pub needs: Capability,
    handler: MethodRouter<AppState>,
    schemas: Vec<(String, RefOr<Schema>)>,
    docs: Option<Paths>,
}

impl Route {
    /// A row of the API: method, path and description come from the handler's `#[utoipa::path]`.
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

    /// Serves the row under another pattern than OpenAPI can say, such as `{*rest}`.
    #[must_use]
    pub fn served_at(mut self, path: &str) -> Route {
        self.path = path.to_owned();
        self
    }

    /// Wraps the row's handler.
    #[must_use]
    pub fn layered<L>(mut self, layer: L) -> Route
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

    /// A page or an asset: `GET`, outside the API's description.
    pub fn page(path: &str, needs: Capability, handler: MethodRouter<AppState>) -> Route {
        Route::plain(Method::GET, path, needs, handler)
    }

    /// A form's target: `POST`, outside the API's description.
    pub fn form(path: &str, needs: Capability, handler: MethodRouter<AppState>) -> Route {
        Route::plain(Method::POST, path, needs, handler)
    }

    fn plain(method: Method, path: &str, needs: Capability, handler: MethodRouter<AppState>) -> Route {
        Route { method, path: path.to_owned(), needs, handler, schemas: Vec::new(), docs: None }
    }
}

/// Every route there is.
pub fn table() -> Vec<Route> {
    let mut table = api::routes();
    table.extend(sign_in::routes());
    table.extend(console::routes());
    table
}

/// The router that serves the table.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for route in table() {
        let guard = from_fn_with_state((state.clone(), route.needs), gate::authorise);
        router = router.route(&route.path, route.handler.route_layer(guard));
    }
    let router = router
        .fallback(async || crate::problem::Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || crate::problem::Problem::method_not_allowed());
    answer::wrap(router, state)
}

/// The API's description, made from the table.
pub fn openapi() -> OpenApi {
    let mut document = api::document();
    let mut schemas = Vec::new();
    for route in table() {
        schemas.extend(route.schemas);
        for (path, item) in route.docs.into_iter().flat_map(|docs| docs.paths) {
            match document.paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => drop(document.paths.paths.insert(path, item)),
            }
        }
    }
    document.components.get_or_insert_default().schemas.extend(schemas);
    document
}
