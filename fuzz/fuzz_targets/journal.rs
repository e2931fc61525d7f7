//! Any bytes on the local disk or in a bucket are read as journal frames, chunks or indexes up to the first damage.
//!
//! A first byte of 0 gives the rest as it is. Any other makes frames with right checksums of it: per frame a length
//! (two bytes), kind, batch, number and offset (one byte each) and the payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_recording::journal::{Chunk, scan};
use meshtrail_recording::seal::Index;

fn frame(out: &mut Vec<u8>, spec: &[u8; 6], payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(b"MTJ1\0\0\0\0");
    out.extend_from_slice(&u32::try_from(payload.len()).expect("an input is small").to_le_bytes());
    out.extend_from_slice(&u32::from(spec[2]).to_le_bytes());
    for number in [1, spec[3], spec[4], spec[5]] {
        out.extend_from_slice(&u64::from(number).to_le_bytes());
    }
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + (out.len() - start).next_multiple_of(8), 0);
}

fn check_scan(bytes: &[u8]) {
    let scanned = scan(bytes, 1);
    let mut end = 0;
    for (at, frame) in &scanned.frames {
        assert!(*at >= end && at + frame.payload.len() <= bytes.len());
        end = at + frame.payload.len();
    }
    assert!(scanned.damage.is_none_or(|at| at <= bytes.len()));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&mode, mut rest)) = bytes.split_first() else { return };
    if mode != 0 {
        let mut file = Vec::new();
        while let Some((spec, behind)) = rest.split_first_chunk::<6>() {
            let length = usize::from(u16::from_le_bytes([spec[0], spec[1]])).min(behind.len());
            frame(&mut file, spec, &behind[..length]);
            rest = &behind[length..];
        }
        file.extend_from_slice(rest);
        return check_scan(&file);
    }
    check_scan(rest);
    if let Ok(chunk) = Chunk::read(rest) {
        let _sessions = (chunk.generation(), chunk.sessions().len());
    }
    if let Ok(index) = Index::read(rest) {
        assert!(index.seconds().is_finite());
        let _entry = index.before(1.0);
    }
});
