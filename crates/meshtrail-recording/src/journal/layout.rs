//! The layout thread: moves sessions' bytes from finished journal files to spool files.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use tracing::{error, warn};

use super::{
    Shared, chunk, file, lock,
    session_stream::{Extent, SpoolState, StreamState},
    spool,
};
use crate::faults::Step;

/// The pause after a failure, before it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Bytes of one session that are written between two syncs. Commits of the journal use the same disk: without these
/// syncs a commit would wait until a whole file's dirty pages are written.
const UNSYNCED: usize = 1 << 20;

/// While journal files are finished faster than this, no file is created ahead.
const FLOOD: Duration = Duration::from_secs(5);

pub(super) fn run(shared: &Shared, finished: &mpsc::Receiver<u64>) {
    let mut last: Option<Instant> = None;
    while let Ok(generation) = finished.recv() {
        while let Err(error) = lay_out(shared, generation) {
            error!(%error, generation, "a journal file can't be laid out");
            lock(&shared.queue).layout_error = Some(error.to_string().into());
            shared.wakeup.notify_all();
            if stopped_while_waiting(shared) {
                // The next start lays out the journal file.
                return;
            }
        }
        lock(&shared.queue).layout_error = None;
        shared.wakeup.notify_all();
        // At a high rate, writing the blocks of a file twice would take disk bandwidth from commits.
        let is_flooded = last.is_some_and(|last| last.elapsed() < FLOOD);
        last = Some(Instant::now());
        if !is_flooded {
            prepare_next(shared);
        }
    }
}

fn stopped_while_waiting(shared: &Shared) -> bool {
    const CHECKS: u32 = 50;
    (0..CHECKS).any(|_| {
        std::thread::sleep(RETRY / CHECKS);
        lock(&shared.queue).stop
    })
}

/// Creates the next file ahead, so that no commit waits for it. If this fails, the writer creates it.
fn prepare_next(shared: &Shared) {
    let stopped = || lock(&shared.queue).stop;
    if stopped() || lock(&shared.next).file.is_some() {
        return;
    }
    let Ok(spare) = file::prewrite(shared, stopped) else { return };
    let mut next = lock(&shared.next);
    if next.file.is_none() {
        next.file = file::adopt(shared, spare, next.generation).ok();
    }
}

/// Moves all bytes of one generation to the spool and deletes its file. Can be repeated after any failure: bytes are
/// written to the same offsets, and the journal file is deleted only once all of them are durable.
fn lay_out(shared: &Shared, generation: u64) -> io::Result<()> {
    let Some(journal) = lock(&shared.files).get(&generation).cloned() else { return Ok(()) };
    let streams: Vec<Arc<StreamState>> = lock(&shared.streams).values().cloned().collect();
    // Opened before the first write, so that the sync reports every write error since.
    let folder = File::open(&shared.folders.spool)?;
    for stream in &streams {
        append(shared, stream, generation, &journal.file)?;
    }
    if shared.limits.ship {
        chunk::write(shared, &streams, generation, &journal.file)?;
    }
    // A crash up to here leaves any part of these bytes in spool files. The journal file still exists, and recovery
    // writes its bytes to the same offsets again.
    shared.faults.around(Step::SyncSpool, || spool::sync(&folder))?;
    for stream in &streams {
        let mut locations = lock(&stream.locations);
        let moved: u64 =
            extents_of(&locations.extents, generation).map(|extent| u64::from(extent.length)).sum();
        locations.spooled += moved;
        locations.extents.retain(|extent| extent.generation != generation);
        locations.extents.shrink_to(8);
    }
    lock(&shared.files).remove(&generation);
    // A crash here leaves a journal file whose bytes are all in the spool. Laying it out again changes nothing.
    if let Err(error) = shared.faults.around(Step::DeleteJournal, || fs::remove_file(&journal.path)) {
        warn!(%error, path = %journal.path.display(), "a journal file that was laid out can't be deleted");
    }
    if shared.limits.ship {
        shared.newest_chunk.send_replace(generation);
    }
    Ok(())
}

/// The extents that are in the journal file of `generation`.
pub(super) fn extents_of(extents: &[Extent], generation: u64) -> impl Iterator<Item = &Extent> {
    extents.iter().filter(move |extent| extent.generation == generation)
}

fn append(shared: &Shared, stream: &StreamState, generation: u64, journal: &File) -> io::Result<()> {
    let mut spool_state = lock(&stream.spool);
    if spool_state.discarded {
        return Ok(());
    }
    write_documents(shared, stream, &mut spool_state)?;
    let extents: Vec<Extent> = extents_of(&lock(&stream.locations).extents, generation).copied().collect();
    if extents.is_empty() {
        return Ok(());
    }
    shared.faults.around(Step::AppendSpool, || {
        let spool = spool::bytes_file(&shared.folders.spool, &stream.opening.session)?;
        let (mut buffer, mut unsynced) = (Vec::new(), 0);
        let mut pending = extents.iter().peekable();
        while let Some(first) = pending.peek().map(|extent| extent.offset) {
            // Adjacent small extents are written together: a session with one line a second has thirty of them.
            while let Some(extent) = pending.next_if(|_| buffer.len() < 256 << 10) {
                let start = buffer.len();
                buffer.resize(start + extent.length as usize, 0);
                journal.read_exact_at(&mut buffer[start..], extent.at)?;
            }
            spool.write_all_at(&buffer, first)?;
            unsynced += buffer.len();
            if unsynced >= UNSYNCED {
                spool.sync_data()?;
                unsynced = 0;
            }
            buffer.clear();
        }
        Ok(())
    })
}

fn write_documents(shared: &Shared, stream: &StreamState, spool_state: &mut SpoolState) -> io::Result<()> {
    let (folder, session) = (&shared.folders.spool, &stream.opening.session);
    let durable = stream.durable.borrow().clone();
    if durable.opened && !spool_state.opening_written {
        spool::write_json(&spool::opening_path(folder, session), &stream.opening)?;
        spool_state.opening_written = true;
    }
    let closing = lock(&stream.closing).clone().filter(|_| durable.closed && !spool_state.closing_written);
    if let Some(closing) = closing {
        spool::write_json(&spool::closing_path(folder, session), &closing)?;
        spool_state.closing_written = true;
    }
    Ok(())
}
