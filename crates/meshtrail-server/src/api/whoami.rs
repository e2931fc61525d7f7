//! Who the server takes the caller for.

use axum::Json;
use serde::Serialize;

use crate::auth::{Role, Via, Viewer};

/// Who the caller is here.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WhoAmI {
    /// By what name.
    pub name: String,
    /// With what role.
    pub role: Role,
    /// How they showed it: `token`, `cookie` or `files`.
    pub via: String,
}

/// Who the server takes the caller for.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "sign-in", responses((status = 200, body = WhoAmI)))]
pub(crate) async fn whoami(viewer: Viewer) -> Json<WhoAmI> {
    let via = match viewer.via {
        Via::Token => "token",
        Via::Cookie => "cookie",
        Via::Files => "files",
    };
    Json(WhoAmI { name: viewer.who.to_string(), role: viewer.role, via: via.to_owned() })
}
