//! Any bytes on the local disk or in a bucket are read as journal frames, chunks or indexes up to the first damage.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_recording::journal::{Chunk, scan};
use meshtrail_recording::seal::Index;

fuzz_target!(|bytes: &[u8]| {
    let scanned = scan(bytes, 1);
    let mut end = 0;
    for (at, frame) in &scanned.frames {
        assert!(*at >= end && at + frame.payload.len() <= bytes.len());
        end = at + frame.payload.len();
    }
    assert!(scanned.damage.is_none_or(|at| at <= bytes.len()));
    if let Ok(chunk) = Chunk::read(bytes) {
        let _sessions = (chunk.generation(), chunk.sessions().len());
    }
    if let Ok(index) = Index::read(bytes) {
        assert!(index.seconds().is_finite());
        let _entry = index.before(1.0);
    }
});
