//! Unsealed sessions by disk and store: whether a recording that no event refers to is still to get its terminal event.

use std::{collections::HashSet, io, path::Path};

use meshtrail_event::SessionId;
use meshtrail_trail::store::{GetError, Store};

use crate::{
    journal::{Chunk, unsealed_on_disk},
    ship::folder_key,
};

/// The sessions of `trail` that a recorder has still to seal. `local` is the recorder's folder, if it is on this
/// machine. Nothing is written. The openings are not verified: they only tell that such sessions were open.
pub async fn unsealed_sessions(
    store: &Store,
    local: Option<&Path>,
    trail: &str,
) -> io::Result<HashSet<SessionId>> {
    let mut unsealed = match local.map(Path::to_owned) {
        Some(local) => {
            let read = tokio::task::spawn_blocking(move || unsealed_on_disk(&local));
            read.await.map_err(io::Error::other)??
        }
        None => HashSet::new(),
    };
    for entry in store.list(&folder_key(trail)).await.map_err(io::Error::other)? {
        match store.get(&entry.key).await {
            Ok(packed) => {
                let chunk = Chunk::read(&packed).map_err(io::Error::other)?;
                unsealed.extend(chunk.sessions().iter().map(|opening| opening.session.clone()));
            }
            // It was deleted meanwhile: its sessions are sealed.
            Err(GetError::Missing { .. }) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(unsealed)
}

#[cfg(test)]
mod tests {
    use meshtrail_event::Kind;

    use super::*;
    use crate::testing::{Client, Recorder, SSH, quick, store_at};

    #[tokio::test]
    async fn an_open_session_is_told_beside_its_recorder_and_after_it_from_journal_and_spool() {
        let recorder = Recorder::start(quick()).await;
        let mut upload = Client::connect(recorder.address).await.record().await;
        upload.send(SSH).await;
        upload.wait_for_ack(SSH.len() as u64).await;
        recorder.ledger.wait_for(Kind::SshSessionStarted).await;
        let open = HashSet::from([recorder.recordings.live()[0].id.clone()]);
        let (folder, store) = (recorder.folder.clone(), store_at(recorder.folder.path()).await);
        let local = folder.path().join("local");
        let unsealed = async || unsealed_sessions(&store, Some(&local), "main").await.unwrap();
        assert_eq!(unsealed().await, open);
        // Nothing can be sealed any more, and the journal is laid out at the stop.
        recorder.ledger.failing.store(true, std::sync::atomic::Ordering::SeqCst);
        let Recorder { recordings, stop, .. } = recorder;
        stop.cancel();
        recordings.close().await;
        assert_eq!(unsealed().await, open);
        assert_eq!(unsealed_sessions(&store, None, "main").await.unwrap(), HashSet::new());
    }
}
