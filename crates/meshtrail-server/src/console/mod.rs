//! The console: pages made on the server, which scripts then make live, playable and provable.
//!
//! - Lists and events read without scripts; the address is the state of every list.
//! - Nothing says "proven" until the reader's browser has computed it.
//! - Text from other machines is shown with control characters visible, and isolated (`words`).
//! - Looking at a list is not an event; looking into a recording is, and pages say so before they fetch it.
//!
//! What a page shows comes by the same calls that the API answers with; how things are stored is not known here.

mod activity;
mod ask;
mod assets;
mod changes_page;
mod device_page;
mod devices_page;
mod diff;
mod event_page;
mod events_counts;
mod events_page;
mod exports_page;
mod layout;
mod mesh_pages;
mod network_page;
mod open_pages;
mod pages;
mod parts;
mod people_page;
mod person_page;
mod plain_pages;
mod sentence;
mod session_page;
mod sessions_page;
mod sources_page;
mod view;
mod words;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use maud::Markup;

use crate::auth::Capability;
use crate::routes::Route;

pub(crate) use ask::{quoted_value, term};
pub(crate) use open_pages::problem_page;
pub use sentence::{Sentence, sentence};
pub(crate) use words::sentence_case;

/// What the console's pages may load and do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The same for pages that play: asciinema-player's terminal is WebAssembly.
const PLAYING_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     font-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page of the console. Forms of a page that sent no referrer at all would come from an unknown origin, and be
/// refused; nothing goes to other sites.
fn page(status: StatusCode, policy: &'static str, markup: Markup) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, markup).into_response()
}

/// The rows of the console.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::page("/", Capability::Read, get(pages::home)),
        Route::page("/sessions", Capability::Read, get(pages::sessions)),
        Route::page("/sessions/{id}", Capability::Read, get(pages::session)),
        Route::page("/events", Capability::Read, get(pages::events)),
        Route::page("/events/{id}", Capability::Read, get(pages::event)),
        Route::page("/events/at/{index}", Capability::Read, get(pages::event_at)),
        Route::page("/people", Capability::Read, get(mesh_pages::people)),
        Route::page("/people/{login}", Capability::Read, get(mesh_pages::person)),
        Route::page("/devices", Capability::Read, get(mesh_pages::devices)),
        Route::page("/devices/{id}", Capability::Read, get(mesh_pages::device)),
        Route::page("/changes", Capability::Read, get(mesh_pages::changes)),
        Route::page("/network", Capability::Read, get(mesh_pages::network)),
        Route::page("/sources", Capability::Read, get(mesh_pages::sources)),
        Route::page("/exports", Capability::Export, get(exports_page::exports)),
        Route::form("/exports", Capability::Export, post(exports_page::begun)),
        Route::page("/sign-in", Capability::Open, get(open_pages::sign_in)),
        Route::page("/static/{version}/{*name}", Capability::Open, get(open_pages::asset_file)),
    ]
}
