//! What runs or lies on this machine: the server that `serve` left a note of, or a store to read.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use meshtrail_server::config::DEFAULT_DATA;
use meshtrail_server::serve::note::ServerNote;

use crate::args::Source;
use crate::remote::Remote;

/// How long a server on this machine may take to say that it is there: long enough for a machine whose cores are all
/// taken. One that has stopped refuses at once.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// The server that runs on this machine over the asked-for data, if one does.
pub(crate) async fn running(source: &Source) -> Result<Option<Remote>> {
    let Some(note) =
        ServerNote::read(&folder(source)).context("the note of the running server can't be read")?
    else {
        return Ok(None);
    };
    if source.store.as_ref().is_some_and(|store| store.contains("://") && *store != note.store) {
        return Ok(None);
    }
    let open = Remote::new(&note.url, None)?;
    let asked = open.send(http::Method::GET, "/api/v1/health", None);
    if !matches!(tokio::time::timeout(ANSWER_TIME, asked).await, Ok(Ok(_))) {
        return Ok(None);
    }
    let token = match &source.token {
        Some(token) => token.clone(),
        None => std::fs::read_to_string(&note.admin_token_file)
            .with_context(|| {
                format!(
                    "a server runs here, but its token file {} can't be read; ask as the user it runs as, or give --token",
                    note.admin_token_file.display()
                )
            })?
            .trim()
            .to_owned(),
    };
    Ok(Some(Remote::new(&note.url, Some(token))?))
}

/// Where machine-local state lies.
pub(crate) fn folder(source: &Source) -> PathBuf {
    match (&source.data, &source.store) {
        (Some(data), _) => data.clone(),
        (None, Some(store)) if !store.contains("://") => PathBuf::from(store),
        (None, _) => PathBuf::from(DEFAULT_DATA),
    }
}

/// The store that is asked for, or that lies in the usual place.
pub(crate) fn store_location(source: &Source) -> Result<String> {
    if let Some(store) = &source.store {
        return Ok(store.clone());
    }
    let folder = folder(source);
    if let Some(note) = ServerNote::read(&folder).context("the note of the last server can't be read")? {
        return Ok(note.store);
    }
    if !folder.join("trails").is_dir() {
        bail!(
            "there is no server and no store here ({} holds no trail); start `meshtrail serve`, name a store with --store DIR, or a server with --server URL",
            folder.display()
        );
    }
    folder.to_str().map(str::to_owned).context("the path of the store is not valid UTF-8")
}

/// The API's routes over a store that is only read.
pub(crate) async fn read_store(source: &Source) -> Result<Router> {
    let location = store_location(source)?;
    meshtrail_server::direct::open(&location, &folder(source), &source.trail)
        .await
        .with_context(|| format!("the store {location} can't be read"))
}
