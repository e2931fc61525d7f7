//! The server that runs on this machine, found by its discovery file, or a store on this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use meshtrail_api::client::Client;
use meshtrail_server::config::DEFAULT_DATA;
use meshtrail_server::serve::discovery::DiscoveryFile;

use crate::args::ApiSource;

/// How long a server on this machine may take to answer: long enough for a machine whose cores are all busy. The
/// connection to a stopped server is refused at once.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Finds a running server on this machine that serves the requested data.
pub(crate) async fn running_server(source: &ApiSource) -> Result<Option<Client>> {
    let Some(discovery) =
        DiscoveryFile::read(&data_folder(source)).context("the note of the running server can't be read")?
    else {
        return Ok(None);
    };
    if source.store.as_ref().is_some_and(|store| store.contains("://") && *store != discovery.store) {
        return Ok(None);
    }
    let open = Client::new(&discovery.url, None)?;
    let answer = open.get("/api/v1/health");
    if !matches!(tokio::time::timeout(ANSWER_TIME, answer).await, Ok(Ok(_))) {
        return Ok(None);
    }
    let token = match &source.token {
        Some(token) => token.clone(),
        None => std::fs::read_to_string(&discovery.admin_token_file)
            .with_context(|| {
                format!(
                    "a server runs here, but its token file {} can't be read; ask as the user it runs as, or give --token",
                    discovery.admin_token_file.display()
                )
            })?
            .trim()
            .to_owned(),
    };
    Ok(Some(Client::new(&discovery.url, Some(token))?))
}

/// The folder of the machine-local state.
pub(crate) fn data_folder(source: &ApiSource) -> PathBuf {
    match (&source.data, &source.store) {
        (Some(data), _) => data.clone(),
        (None, Some(store)) if !store.contains("://") => PathBuf::from(store),
        (None, _) => PathBuf::from(DEFAULT_DATA),
    }
}

/// The requested store, or the one in the default folder.
pub(crate) fn store_location(source: &ApiSource) -> Result<String> {
    if let Some(store) = &source.store {
        return Ok(store.clone());
    }
    let folder = data_folder(source);
    if let Some(discovery) =
        DiscoveryFile::read(&folder).context("the note of the last server can't be read")?
    {
        return Ok(discovery.store);
    }
    if !folder.join("trails").is_dir() {
        bail!(
            "there is no server and no store here ({} holds no trail); start `meshtrail serve`, name a store with --store DIR, or a server with --server URL",
            folder.display()
        );
    }
    folder.to_str().map(str::to_owned).context("the path of the store is not valid UTF-8")
}

/// The API's routes over a store that is opened read-only.
pub(crate) async fn open_store(source: &ApiSource) -> Result<Router> {
    let location = store_location(source)?;
    meshtrail_server::direct::open(&location, &data_folder(source), &source.trail)
        .await
        .with_context(|| format!("the store {location} can't be read"))
}
