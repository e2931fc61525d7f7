//! The caller's own name, role and authentication method.

use axum::Json;
use meshtrail_api::tokens::WhoAmI;

use crate::auth::{AuthMethod, Caller};

/// Who the server takes the caller for.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "sign-in", responses((status = 200, body = WhoAmI)))]
pub(crate) async fn whoami(caller: Caller) -> Json<WhoAmI> {
    let via = match caller.auth_method {
        AuthMethod::Token => "token",
        AuthMethod::Cookie => "cookie",
        AuthMethod::LocalFiles => "files",
    };
    Json(WhoAmI { name: caller.who.to_string(), role: caller.role.name().into(), via: via.to_owned() })
}
