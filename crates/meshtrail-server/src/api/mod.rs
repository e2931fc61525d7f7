//! The handlers of `/api/v1/`, each a short story, and the frame of the API's description.

pub mod health;

use utoipa::OpenApi as _;
use utoipa_axum::routes;

use crate::auth::Capability;
use crate::routes::Route;

/// The rows of the API.
pub(crate) fn routes() -> Vec<Route> {
    vec![Route::api(Capability::Open, routes!(health::health))]
}

/// The API's description without its paths.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Meshtrail",
            description = "Who accessed what, what did they do, when, and can you prove it?",
            license(name = "Apache-2.0", identifier = "Apache-2.0")
        ),
        components(schemas(crate::problem::ProblemBody)),
        security(("token" = []))
    )]
    struct Document;
    Document::openapi()
}
