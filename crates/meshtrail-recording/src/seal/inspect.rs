//! Whether the two objects of a sealed recording are what sealing put into the store.
//!
//! The recording itself is held against the trail by [`crate::check`]. Its index is derived, and what it says is
//! shown to people who jump into a recording: so it is made again from the received bytes and compared.

use futures::TryStreamExt;
use meshtrail_event::SessionId;
use meshtrail_trail::store::{Key, Store};

use super::{Index, IndexBuilder, StoredError, StoredRecording, index_key};

/// What is wrong with a sealed recording's objects.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// One of them can't be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The index is not the one that the recording makes.
    #[error("{key} does not say what the recording says: it was changed, or it is of another recording")]
    Index {
        /// The index.
        key: Key,
    },
}

/// Reads a sealed recording and its index, where there is one; the recording may lack an index, never bytes.
pub async fn inspect(store: &Store, session: &SessionId) -> Result<(), InspectError> {
    let recording = StoredRecording::open(store, session).await?;
    let stored = StoredRecording::index(store, session).await?;
    let mut builder = IndexBuilder::default();
    let mut pieces = std::pin::pin!(recording.stream(0));
    while let Some(piece) = pieces.try_next().await? {
        builder.push(&piece);
    }
    match stored {
        Some(stored) if !agree(&stored, &builder.finish()) => {
            Err(InspectError::Index { key: index_key(session) })
        }
        _ => Ok(()),
    }
}

/// Whether two indexes of one recording say the same; drawing may have run out of time in either, so a screen
/// that only one of them has is no difference.
fn agree(stored: &Index, made: &Index) -> bool {
    let same_screen = |(stored, made): (&super::Entry, &super::Entry)| {
        let screens = stored.screen.as_ref().zip(made.screen.as_ref());
        (stored.offset, stored.time.to_bits()) == (made.offset, made.time.to_bits())
            && screens.is_none_or(|(stored, made)| stored == made)
    };
    stored.same_whole(made)
        && stored.entries().len() == made.entries().len()
        && stored.entries().iter().zip(made.entries()).all(same_screen)
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
            let found = inspect(&store, &session).await;
            assert_eq!(found.is_ok(), number == 0, "{found:?}");
        }
    }
}
