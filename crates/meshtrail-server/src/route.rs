//! One row of the route table.

use axum::routing::MethodRouter;
use http::Method;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Paths;
use utoipa::openapi::schema::Schema;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::auth::Capability;
use crate::state::AppState;

/// One route of the table.
pub struct Route {
    /// The only method it accepts; `GET` includes `HEAD`.
    pub method: Method,
    /// The path, with `{name}` for one segment and `{*name}` for the rest.
    pub path: String,
    pub needs: Capability,
    pub(crate) handler: MethodRouter<AppState>,
    /// The schemas of its requests and answers, by name.
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    /// Its part of the OpenAPI document; none for pages and forms.
    pub(crate) docs: Option<Paths>,
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
