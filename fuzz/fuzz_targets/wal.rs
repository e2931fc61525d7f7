//! Any bytes of a log file are whole frames up to a torn end, damage that is reported, or no log file.
//!
//! A first byte of 0 gives the rest as a file. Any other makes a file with right checksums of what the rest says, so
//! that what lies behind the checksums is reached too: per frame a length (two bytes), commit, first index and count
//! (one byte each) and the payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_trail::wal::scan_bytes;

const SALT: u64 = 7;

fn header(first: u64) -> Vec<u8> {
    let mut bytes = vec![0; 60];
    bytes[..8].copy_from_slice(b"mtwal\0\0\x01");
    bytes[8..16].copy_from_slice(&SALT.to_le_bytes());
    bytes[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn frame(out: &mut Vec<u8>, spec: &[u8; 5], payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("an input is small");
    let mut rest = Vec::new();
    rest.extend_from_slice(&u64::from(spec[2]).to_le_bytes());
    rest.extend_from_slice(&u64::from(spec[3]).to_le_bytes());
    rest.extend_from_slice(&u32::from(spec[4]).to_le_bytes());
    rest.extend_from_slice(payload);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&SALT.to_le_bytes()), &length.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c_append(crc, &rest).to_le_bytes());
    out.extend_from_slice(&rest);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&mode, mut rest)) = bytes.split_first() else { return };
    if mode == 0 {
        let _range = scan_bytes(rest);
        return;
    }
    let mut file = header(u64::from(mode));
    while let Some((spec, behind)) = rest.split_first_chunk::<5>() {
        let length = usize::from(u16::from_le_bytes([spec[0], spec[1]])).min(behind.len());
        frame(&mut file, spec, &behind[..length]);
        rest = &behind[length..];
    }
    file.extend_from_slice(rest);
    if let Ok(Some(range)) = scan_bytes(&file) {
        assert!(range.start == u64::from(mode) && range.end >= range.start);
    }
});
