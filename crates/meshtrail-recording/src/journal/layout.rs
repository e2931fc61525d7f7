//! The layout thread: moves sessions' bytes from finished journal files to their spool files.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use tracing::{error, warn};

use super::{
    Shared, chunk, file, locked, spool,
    tape::{Extent, Spooled, TapeState},
};
use crate::faults::Step;

/// How long to wait before trying again what failed.
const RETRY: Duration = Duration::from_millis(500);

/// Bytes of one session that the system may hold back before they are synced. Commits of the journal use the same disk:
/// behind a whole file of these each would wait for as long as that takes to write.
const UNSYNCED: usize = 1 << 20;

/// Journal files that follow each other faster than this are a flood.
const FLOOD: Duration = Duration::from_secs(5);

pub(super) fn run(shared: &Shared, finished: &mpsc::Receiver<u64>) {
    let mut last: Option<Instant> = None;
    while let Ok(generation) = finished.recv() {
        while let Err(error) = lay_out(shared, generation) {
            error!(%error, generation, "a journal file can't be laid out");
            locked(&shared.queue).stuck = Some(error.to_string().into());
            shared.bell.notify_all();
            if stopped_while_waiting(shared) {
                // What is in the journal file is found there by the next start.
                return;
            }
        }
        locked(&shared.queue).stuck = None;
        shared.bell.notify_all();
        // In a flood the disk has better things to do than to write a file twice.
        let flooded = last.is_some_and(|last| last.elapsed() < FLOOD);
        last = Some(Instant::now());
        if !flooded {
            make_next(shared);
        }
    }
}

fn stopped_while_waiting(shared: &Shared) -> bool {
    const LOOKS: u32 = 50;
    (0..LOOKS).any(|_| {
        std::thread::sleep(RETRY / LOOKS);
        locked(&shared.queue).stop
    })
}

/// Makes the next file ahead, so that no commit waits for it. The writer makes one if this fails.
fn make_next(shared: &Shared) {
    let stopped = || locked(&shared.queue).stop;
    if stopped() || locked(&shared.next).made.is_some() {
        return;
    }
    let Ok(spare) = file::prewrite(shared, stopped) else { return };
    let mut next = locked(&shared.next);
    if next.made.is_none() {
        next.made = file::adopt(shared, spare, next.generation).ok();
    }
}

/// Moves all bytes of one generation to the spool and deletes its file. Can be done again after any failure:
/// bytes go to the same places, and nothing is taken from the journal before all of it is durable.
fn lay_out(shared: &Shared, generation: u64) -> io::Result<()> {
    let Some(journal) = locked(&shared.files).get(&generation).cloned() else { return Ok(()) };
    let tapes: Vec<Arc<TapeState>> = locked(&shared.tapes).values().cloned().collect();
    // Opened before anything is written, so that syncing it reports every write error since.
    let folder = File::open(&shared.folders.spool)?;
    for tape in &tapes {
        append(shared, tape, generation, &journal)?;
    }
    if shared.limits.ship {
        chunk::write(shared, &tapes, generation, &journal)?;
    }
    // A crash up to here leaves spool files with any part of these bytes. The journal file is still there, and
    // recovery writes its bytes to the same places once more.
    shared.faults.around(Step::SyncSpool, || spool::sync(&folder))?;
    for tape in &tapes {
        let mut placed = locked(&tape.placed);
        let moved: u64 =
            of_generation(&placed.extents, generation).map(|extent| u64::from(extent.length)).sum();
        placed.spooled += moved;
        placed.extents.retain(|extent| extent.generation != generation);
        placed.extents.shrink_to(8);
    }
    locked(&shared.files).remove(&generation);
    // A crash here leaves a journal file whose bytes are all in the spool: laying it out again changes nothing.
    let path = file::path(&shared.folders.journal, generation);
    if let Err(error) = shared.faults.around(Step::DeleteJournal, || fs::remove_file(&path)) {
        warn!(%error, path = %path.display(), "a journal file that was laid out can't be deleted");
    }
    if shared.limits.ship {
        shared.shipped.send_replace(generation);
    }
    Ok(())
}

pub(super) fn of_generation(extents: &[Extent], generation: u64) -> impl Iterator<Item = &Extent> {
    extents.iter().filter(move |extent| extent.generation == generation)
}

fn append(shared: &Shared, tape: &TapeState, generation: u64, journal: &File) -> io::Result<()> {
    let mut spooled = locked(&tape.spool);
    if spooled.done {
        return Ok(());
    }
    write_documents(shared, tape, &mut spooled)?;
    let extents: Vec<Extent> = of_generation(&locked(&tape.placed).extents, generation).copied().collect();
    if extents.is_empty() {
        return Ok(());
    }
    shared.faults.around(Step::AppendSpool, || {
        let spool = spool::bytes_file(&shared.folders.spool, &tape.opening.session)?;
        let (mut buffer, mut unsynced) = (Vec::new(), 0);
        let mut pending = extents.iter().peekable();
        while let Some(first) = pending.peek().map(|extent| extent.offset) {
            // Small extents are joined: a session at one line a second has thirty of them.
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

fn write_documents(shared: &Shared, tape: &TapeState, spooled: &mut Spooled) -> io::Result<()> {
    let (folder, session) = (&shared.folders.spool, &tape.opening.session);
    let durable = tape.durable.borrow().clone();
    if durable.opened && !spooled.opening_written {
        spool::write_json(&spool::opening_path(folder, session), &tape.opening)?;
        spooled.opening_written = true;
    }
    let closing = locked(&tape.closing).clone().filter(|_| durable.closed && !spooled.closing_written);
    if let Some(closing) = closing {
        spool::write_json(&spool::closing_path(folder, session), &closing)?;
        spooled.closing_written = true;
    }
    Ok(())
}
