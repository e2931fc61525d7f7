//! The handlers of `/api/v1/`, and the part of the OpenAPI document that is not generated from them.

pub mod changes;
pub mod devices;
pub mod events;
pub mod exports;
pub mod flows;
pub mod health;
pub mod imports;
pub mod listing;
pub mod metrics;
pub mod packs;
pub mod people;
pub mod policy;
pub mod proofs;
pub mod query;
pub mod recordings;
pub mod sessions;
pub mod sources;
mod sse;
pub mod tokens;
pub mod who;
pub mod whoami;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::routes;

use crate::auth::Capability::{Administer, Export, Kill, Open, Read, Replay, SelfService, Send};
use crate::route::Route;

/// The largest body of a request that sends events, in bytes.
const MAX_EVENTS_BODY: usize = 16 << 20;

/// The largest body of a question about a policy, which may hold one, in bytes.
const MAX_POLICY_BODY: usize = 4 << 20;

/// The largest body of any other request, in bytes.
pub(crate) const MAX_BODY: usize = 64 << 10;

/// The routes of the API.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::api(Open, routes!(health::health)),
        Route::api(SelfService, routes!(whoami::whoami)),
        Route::api(Read, routes!(who::who)),
        Route::api(Read, routes!(sessions::list)),
        Route::api(Read, routes!(sessions::show)),
        Route::api(Read, routes!(imports::find)),
        Route::api(Administer, routes!(imports::import)).with_layer(DefaultBodyLimit::disable()),
        Route::api(Export, routes!(recordings::recording)),
        Route::api(Export, routes!(packs::pack)),
        Route::api(Replay, routes!(recordings::cast)),
        Route::api(Replay, routes!(recordings::follow)),
        Route::api(Kill, routes!(recordings::kill)),
        Route::api(Read, routes!(events::list)),
        Route::api(Send, routes!(events::send)).with_layer(DefaultBodyLimit::max(MAX_EVENTS_BODY)),
        Route::api(Read, routes!(events::counts::histogram)),
        Route::api(Read, routes!(events::counts::facets)),
        Route::api(Read, routes!(events::complete::complete)),
        Route::api(Read, routes!(events::follow::follow)),
        Route::api(Read, routes!(events::show)),
        Route::api(Read, routes!(people::list)),
        Route::api(Read, routes!(people::show)),
        Route::api(Read, routes!(devices::list)),
        Route::api(Read, routes!(devices::show)),
        Route::api(Read, routes!(query::query)),
        Route::api(Export, routes!(exports::list)),
        Route::api(Export, routes!(exports::create)),
        Route::api(Export, routes!(exports::show)),
        Route::api(Export, routes!(exports::file)),
        Route::api(Export, routes!(exports::remove)),
        Route::api(Read, routes!(flows::list)),
        Route::api(Read, routes!(changes::list)),
        Route::api(Read, routes!(policy::explain)).with_layer(DefaultBodyLimit::max(MAX_POLICY_BODY)),
        Route::api(Read, routes!(policy::diff)).with_layer(DefaultBodyLimit::max(MAX_POLICY_BODY)),
        Route::api(Read, routes!(policy::who_could_reach)).with_layer(DefaultBodyLimit::max(MAX_POLICY_BODY)),
        Route::api(Read, routes!(sources::list)),
        Route::api(Read, routes!(proofs::checkpoint)),
        Route::api(Read, routes!(proofs::proof)),
        Route::api(Read, routes!(proofs::c2sp_checkpoint)),
        Route::api(Read, routes!(proofs::tile)).with_served_path("/api/v1/trail/tile/{*path}"),
        Route::api(Administer, routes!(tokens::list)),
        Route::api(Administer, routes!(tokens::create)),
        Route::api(Administer, routes!(tokens::revoke)),
        Route::api(Administer, routes!(tokens::make_link)),
        Route::page(metrics::PATH, Read, get(metrics::metrics)),
    ]
}

/// The OpenAPI document without its paths.
pub(crate) fn document() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Meshtrail",
            description = "Who accessed what, what did they do, when, and can you prove it?",
            license(name = "Apache-2.0", identifier = "Apache-2.0")
        ),
        components(schemas(meshtrail_api::problem::ProblemBody)),
        security(("token" = []))
    )]
    struct Document;
    let mut document = Document::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", scheme);
    document
}
