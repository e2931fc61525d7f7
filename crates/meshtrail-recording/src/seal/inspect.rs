//! [`inspect`]: checks that the two objects of a sealed recording are those that sealing put into the store.
//!
//! [`crate::check`] compares the recording itself with the trail. The index is derived, and its screens are shown at
//! jumps into the recording, so it is compared with an index that is rebuilt from the received bytes.

use futures::TryStreamExt;
use meshtrail_event::SessionId;
use meshtrail_trail::store::{Key, Store};

use super::{Index, IndexBuilder, StoredError, StoredRecording, index_key};

/// What is wrong with a sealed recording's objects.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InspectError {
    /// An object can't be read, or the index is not the one that the trail names.
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("{key} does not say what the recording says: it was changed, or it is of another recording")]
    Index { key: Key },
}

/// Reads a sealed recording completely, and its index, which may be absent. `index_sha256` is the index's SHA-256 in
/// the terminal event. Older events have none; then the index is rebuilt and compared.
pub async fn inspect(
    store: &Store,
    session: &SessionId,
    index_sha256: Option<&str>,
) -> Result<(), InspectError> {
    let recording = StoredRecording::open(store, session).await?;
    let stored = match index_sha256 {
        Some(sha256) => {
            // The bytes are those that sealing made. There is nothing more to check.
            StoredRecording::index(store, session, sha256).await?;
            None
        }
        None => StoredRecording::unverified_index(store, session).await?,
    };
    let mut builder = stored.as_ref().map(IndexBuilder::with_screens_of);
    let mut pieces = std::pin::pin!(recording.stream(0));
    while let Some(piece) = pieces.try_next().await? {
        if let Some(builder) = &mut builder {
            builder.push(&piece);
        }
    }
    let (Some(mut stored), Some(builder)) = (stored, builder) else { return Ok(()) };
    if !builder.has_drawn_all() {
        // Screens that take too long to draw can't be compared. Playback never shows them either: it uses the screens
        // of a rebuilt index.
        stored = Index::without_screens(stored);
    }
    match stored.agrees_with(&builder.finish()) {
        true => Ok(()),
        false => Err(InspectError::Index { key: index_key(session) }),
    }
}

#[cfg(test)]
mod tests {
    use meshtrail_trail::store::{StoreLocation, WritePolicy};

    use super::*;
    use crate::seal::{SeekableWriter, recording_key};

    #[tokio::test]
    async fn an_index_that_says_something_else_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let received = b"{\"version\":2,\"width\":80,\"height\":24}\n[1.5,\"o\",\"hello\"]\n";
        for (number, text) in ["[1.5,\"o\",\"hello\"]\n", "[9.5,\"o\",\"hello\"]\n"].into_iter().enumerate() {
            let session: SessionId = format!("20261120-main-3-{}", number + 1).parse().unwrap();
            let mut writer = SeekableWriter::new(Vec::new()).unwrap();
            writer.push(received).unwrap();
            store.put_new(&recording_key(&session), writer.finish().unwrap().into()).await.unwrap();
            let mut builder = IndexBuilder::default();
            builder.push(b"{\"version\":2,\"width\":80,\"height\":24}\n");
            builder.push(text.as_bytes());
            let index = builder.finish().packed().unwrap();
            store.put_new(&index_key(&session), index.into()).await.unwrap();
            let found = inspect(&store, &session, None).await;
            assert_eq!(found.is_ok(), number == 0, "{found:?}");
        }
    }

    /// A recording of some megabytes in a store, with its index as changed by `change`. Returns the unchanged index's
    /// hash.
    async fn stored(change: impl Fn(&str) -> String) -> (tempfile::TempDir, Store, SessionId, String) {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let session: SessionId = "20261120-main-3-17".parse().unwrap();
        let (mut writer, mut builder) = (SeekableWriter::new(Vec::new()).unwrap(), IndexBuilder::default());
        let mut take = |text: &str| {
            writer.push(text.as_bytes()).unwrap();
            builder.push(text.as_bytes());
        };
        take("{\"version\":2,\"width\":80,\"height\":24}\n");
        for second in 0..40_000 {
            take(&format!(
                "[{second},\"o\",\"\\r\\nline {second}, with some text to fill up the recording\"]\n"
            ));
        }
        store.put_new(&recording_key(&session), writer.finish().unwrap().into()).await.unwrap();
        let packed = builder.finish().packed().unwrap();
        let sha256 = super::super::index::sha256_of(&packed);
        let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
        let changed = change(&text);
        let packed = if changed == text { packed } else { zstd::encode_all(changed.as_bytes(), 3).unwrap() };
        store.put_new(&index_key(&session), packed.into()).await.unwrap();
        (folder, store, session, sha256)
    }

    /// Adds a fabricated screen to the first entry without one.
    fn fabricate(text: &str) -> String {
        let mut done = false;
        let lines = text.lines().enumerate().map(|(at, line)| {
            if at == 0 || done || line.contains("\"screen\"") {
                return line.to_owned();
            }
            done = true;
            format!("{},\"screen\":\"FABRICATED\"}}", line.strip_suffix('}').unwrap())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn a_screen_that_the_recording_never_showed_is_found_with_and_without_a_bound_index() {
        let (_folder, store, session, sha256) = stored(str::to_owned).await;
        inspect(&store, &session, None).await.unwrap();
        inspect(&store, &session, Some(&sha256)).await.unwrap();

        let (_folder, store, session, sha256) = stored(fabricate).await;
        let key = index_key(&session).to_string();
        for bound in [None, Some(sha256.as_str())] {
            let found = inspect(&store, &session, bound).await.unwrap_err().to_string();
            assert!(found.contains(&key), "{bound:?}: {found}");
        }
    }
}
