//! Collects the parts of a pack from the trail and the recordings.

use std::pin::pin;

use futures::TryStreamExt;
use meshtrail_api::events::{EventsQuery, Order};
use meshtrail_event::{Event, Family, Kind, SessionId};
use meshtrail_recording::Recordings;
use meshtrail_trail::Trail;

use crate::api::events::{self, MAX_PAGE};
use crate::api::{proofs, sessions};
use crate::directory::LateIdentities;
use crate::pack::{BuildError, MAX_RECORDING, PackParts};
use crate::problem::Problem;

/// Collects the parts of the pack of an ended session.
pub(super) async fn gather(
    trail: &Trail,
    late: &LateIdentities,
    recordings: &Recordings,
    id: &SessionId,
) -> Result<PackParts, Problem> {
    let session = sessions::find(recordings, id).await?;
    if session.event.is_none() {
        return Err(Problem::conflict("the session still runs; a pack is made once it has ended"));
    }
    check_size(session.bytes)?;
    let head = proofs::head(trail).await?;
    let mut events = Vec::new();
    for (index, leaf) in
        binding_leaves(trail, late, id).await?.into_iter().filter(|(index, _)| *index < head.size)
    {
        let proof = trail.inclusion(index, head.size).await.map_err(|error| events::unreadable(&error))?;
        events.push((index, leaf, proof.hashes));
    }
    let recording = received_bytes(recordings, id).await?;
    Ok(PackParts {
        session: id.clone(),
        recording,
        events,
        checkpoint: head.note,
        vkey: head.vkey,
        size: head.size,
    })
}

/// The events that bind the recording: all events of the session, except those about people who viewed it.
async fn binding_leaves(
    trail: &Trail,
    late: &LateIdentities,
    id: &SessionId,
) -> Result<Vec<(u64, Vec<u8>)>, Problem> {
    let mut leaves = Vec::new();
    let mut query = EventsQuery {
        q: Some(format!("session:{id}")),
        limit: Some(MAX_PAGE),
        order: Some(Order::Oldest),
        ..EventsQuery::default()
    };
    loop {
        let page = events::page(trail, late, &query).await?;
        for (index, leaf) in page.rows {
            let event = Event::from_json(&leaf).map_err(|error| events::unreadable(&error))?;
            let binds = event.kind.family() == Family::Session || event.kind == Kind::RecordingMark;
            if binds && event.session.as_ref() == Some(id) {
                leaves.push((index, leaf.to_vec()));
            }
        }
        if page.next.is_none() {
            return Ok(leaves);
        }
        query.cursor = page.next;
    }
}

async fn received_bytes(recordings: &Recordings, id: &SessionId) -> Result<Vec<u8>, Problem> {
    let stream = recordings.stream_bytes(id).await.map_err(sessions::unplayable)?;
    let mut stream = pin!(stream);
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await.map_err(sessions::unplayable)? {
        bytes.extend_from_slice(&chunk);
        check_size(bytes.len() as u64)?;
    }
    Ok(bytes)
}

fn check_size(bytes: u64) -> Result<(), Problem> {
    if bytes <= MAX_RECORDING {
        return Ok(());
    }
    let error = BuildError::TooLarge { bytes };
    Err(Problem::conflict(format!("{error}; export the recording and its events instead")))
}
