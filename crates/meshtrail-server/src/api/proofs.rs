//! Checkpoints, proofs, and the tiles that C2SP clients read.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use meshtrail_api::proofs::{Consistency, Head, Inclusion, ProofAnswer, ProofQuery};
use meshtrail_event::EventId;
use meshtrail_trail::store::GetError;
use meshtrail_trail::tree::{Bundle, TileId};
use meshtrail_trail::{ProofError, ReadError, SignedCheckpoint, Trail};

use crate::extract::{ValidQuery, own_index, parse_field};
use crate::problem::Problem;

/// The newest signed head of the trail; as the note alone with `Accept: text/plain`.
#[utoipa::path(get, path = "/api/v1/checkpoint", tag = "proofs", responses((status = 200, body = Head)))]
pub(crate) async fn checkpoint(State(trail): State<Trail>, headers: HeaderMap) -> Result<Response, Problem> {
    let head = head(&trail).await?;
    let wants_text = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|a| a.contains("text/plain"));
    Ok(if wants_text { as_text(head.note) } else { Json(head).into_response() })
}

/// The newest signed head of the trail.
pub(crate) async fn head(trail: &Trail) -> Result<Head, Problem> {
    let SignedCheckpoint { origin, size, root, note, vkey, .. } = newest_checkpoint(trail).await?;
    Ok(Head { origin, size, root: root.to_string(), note, vkey })
}

async fn newest_checkpoint(trail: &Trail) -> Result<SignedCheckpoint, Problem> {
    trail.checkpoint().await.map_err(checkpoint_problem)
}

/// A checkpoint under which to prove the event at `index`. If no size is requested, the last checkpoint that was given
/// out is reused if it covers the event, so that a hundred proofs do not need a hundred checkpoints.
async fn checkpoint_covering(
    trail: &Trail,
    index: u64,
    size: Option<u64>,
) -> Result<SignedCheckpoint, Problem> {
    match size {
        None => trail.checkpoint_over(index).await.map_err(checkpoint_problem),
        Some(_) => newest_checkpoint(trail).await,
    }
}

fn checkpoint_problem(error: ProofError) -> Problem {
    match &error {
        ProofError::Checkpoint(GetError::Missing { .. }) => Problem::not_found(
            "no checkpoint is signed into this store yet; a running server signs one at any time",
        ),
        ProofError::HeadObject(_) | ProofError::HeadFile { .. } => Problem::unavailable(
            "a checkpoint is given out only once it is kept in the store and on the server's disk, which failed just now",
        )
        .because(&error),
        _ => proof_problem(error),
    }
}

/// Proves that an event is in the trail, or that an older trail is the beginning of this one.
#[utoipa::path(get, path = "/api/v1/proof", tag = "proofs", params(ProofQuery),
    responses((status = 200, body = ProofAnswer)))]
pub(crate) async fn proof(
    State(trail): State<Trail>,
    ValidQuery(query): ValidQuery<ProofQuery>,
) -> Result<Json<ProofAnswer>, Problem> {
    let own = trail.name();
    match query {
        ProofQuery { event: Some(id), index: None, size, from: None, to: None } => {
            let id = parse_field::<EventId>("event", &id)?;
            let index = super::events::index_of(&trail, &id).await?;
            let head = checkpoint_covering(&trail, index, size).await?;
            Ok(Json(ProofAnswer::Inclusion(inclusion(&trail, index, Some(id), size, head).await?)))
        }
        ProofQuery { event: None, index: Some(index), size, from: None, to: None } => {
            let index = own_index("index", &index, own)?;
            let head = checkpoint_covering(&trail, index, size).await?;
            Ok(Json(ProofAnswer::Inclusion(inclusion(&trail, index, None, size, head).await?)))
        }
        ProofQuery { event: None, index: None, size: None, from: Some(from), to } => {
            let from = own_index("from", &from, own)?;
            let head = newest_checkpoint(&trail).await?;
            Ok(Json(ProofAnswer::Consistency(consistency(&trail, from, to, head).await?)))
        }
        _ => Err(Problem::bad_request(
            "query",
            "ask with exactly one of event, index and from; size goes with event or index, to goes with from",
        )),
    }
}

async fn inclusion(
    trail: &Trail,
    index: u64,
    id: Option<EventId>,
    size: Option<u64>,
    head: SignedCheckpoint,
) -> Result<Inclusion, Problem> {
    let size = size.unwrap_or(head.size);
    if size > trail.size() {
        return Err(Problem::bad_request("size", format!("the trail has {} events", trail.size())));
    }
    if index >= size {
        let detail = format!("a trail of {size} events has none at index {index}");
        return Err(if id.is_some() {
            Problem::not_found(detail)
        } else {
            Problem::bad_request("index", detail)
        });
    }
    let id = match id {
        Some(id) => id,
        None => super::events::id_at(trail, index).await?,
    };
    let proof = trail.inclusion(index, size).await.map_err(proof_problem)?;
    Ok(Inclusion {
        of_type: "inclusion".to_owned(),
        event_id: id.to_string(),
        index,
        position: trail.position(index),
        leaf_hash: proof.leaf_hash.to_string(),
        size,
        root: proof.root.to_string(),
        hashes: proof.hashes.iter().map(ToString::to_string).collect(),
        note: (size == head.size).then_some(head.note),
        vkey: head.vkey,
    })
}

async fn consistency(
    trail: &Trail,
    from: u64,
    to: Option<u64>,
    head: SignedCheckpoint,
) -> Result<Consistency, Problem> {
    let to = to.unwrap_or(head.size);
    if to > trail.size() {
        return Err(Problem::bad_request("to", format!("the trail has {} events", trail.size())));
    }
    if from > to {
        return Err(Problem::bad_request(
            "from",
            format!("{from} is more than the {to} events it is compared with"),
        ));
    }
    let proof = trail.consistency(from, to).await.map_err(proof_problem)?;
    Ok(Consistency {
        of_type: "consistency".to_owned(),
        from,
        to,
        from_root: proof.from_root.to_string(),
        to_root: proof.to_root.to_string(),
        hashes: proof.hashes.iter().map(ToString::to_string).collect(),
        note: (to == head.size).then_some(head.note),
        vkey: head.vkey,
    })
}

fn proof_problem(error: ProofError) -> Problem {
    match &error {
        ProofError::Bounds { .. } | ProofError::Retired { .. } => {
            return Problem::not_found(error.to_string());
        }
        ProofError::Read(ReadError::Beyond { .. } | ReadError::Retired { .. }) => {
            return Problem::not_found("the trail does not hold these events, or no longer").because(&error);
        }
        _ => {}
    }
    Problem::unavailable(
        "the proof can't be made now; `meshtrail verify --all` tells whether something is missing",
    )
    .because(&error)
}

/// The newest signed head, as C2SP tlog-tiles serves it.
#[utoipa::path(get, path = "/api/v1/trail/checkpoint", tag = "tiles",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn c2sp_checkpoint(State(trail): State<Trail>) -> Result<Response, Problem> {
    Ok(as_text(head(&trail).await?.note))
}

/// A tile, `<level>/<index>[.p/<width>]`, or an entry bundle, `entries/<index>[.p/<width>]`, as C2SP tlog-tiles
/// serves them.
#[utoipa::path(get, path = "/api/v1/trail/tile/{path}", tag = "tiles", params(("path" = String, Path)),
    responses((status = 200, body = String, content_type = "application/octet-stream")))]
pub(crate) async fn tile(State(trail): State<Trail>, Path(path): Path<String>) -> Result<Response, Problem> {
    let path = format!("tile/{path}");
    let (bytes, full) = if path.starts_with("tile/entries/") {
        let bundle: Bundle = parse_field("path", &path)?;
        (bundle_bytes(&trail, bundle).await?, usize::from(bundle.width) == meshtrail_trail::tree::TILE_WIDTH)
    } else {
        let tile: TileId = parse_field("path", &path)?;
        (tile_bytes(&trail, tile).await?, tile.is_full())
    };
    let mut response = Response::new(axum::body::Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // The content of a tile never changes, but who may read it can: only private caches may keep it.
    let caching = if full { "private, max-age=31536000, immutable" } else { "private, max-age=300" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    Ok(response)
}

fn as_text(note: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response()
}

async fn tile_bytes(trail: &Trail, tile: TileId) -> Result<Bytes, Problem> {
    trail.tile(tile).await.map_err(proof_problem)
}

async fn bundle_bytes(trail: &Trail, bundle: Bundle) -> Result<Bytes, Problem> {
    trail.bundle(bundle).await.map_err(proof_problem)
}
