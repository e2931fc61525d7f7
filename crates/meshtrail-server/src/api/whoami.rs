//! The caller's own name, role and authentication method.

use axum::Json;
use serde::Serialize;

use crate::auth::{AuthMethod, Caller, Role};

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
pub(crate) async fn whoami(caller: Caller) -> Json<WhoAmI> {
    let via = match caller.auth_method {
        AuthMethod::Token => "token",
        AuthMethod::Cookie => "cookie",
        AuthMethod::LocalFiles => "files",
    };
    Json(WhoAmI { name: caller.who.to_string(), role: caller.role, via: via.to_owned() })
}
