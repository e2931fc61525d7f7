//! A damaged segment file is an error or gives the rows that were put in, never a panic or other rows.
//!
//! The input is a list of damages (three bytes of place, one of what is put there) to a file made here; with a
//! first byte of 255 the rest is the file itself.

#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use futures::FutureExt;
use libfuzzer_sys::fuzz_target;
use meshtrail_event::Family;
use meshtrail_trail::segment::{SegmentReader, encode};

fn leaf(number: u64) -> Vec<u8> {
    format!(
        r#"{{"actor":{{"person":{{"login":"user{}@example.com"}}}},"detail":{{"bytes":{number},"command":"run {number}","sha256":"{number:064x}"}},"id":"main.recorder.3.{number}","kind":"ssh.session.ended","outcome":"success","received":"2026-11-20T14:02:12.{number:09}Z","time":"2026-11-20T14:02:11.{number:09}Z"}}"#,
        number % 5
    )
    .into_bytes()
}

fn whole() -> &'static (Vec<Vec<u8>>, Vec<u8>) {
    static WHOLE: OnceLock<(Vec<Vec<u8>>, Vec<u8>)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let leaves: Vec<Vec<u8>> = (0..40).map(leaf).chain([b"not an event".to_vec()]).collect();
        let rows: Vec<(u64, &[u8])> = (0u64..).zip(leaves.iter().map(Vec::as_slice)).collect();
        let segment = encode(Family::Session, "fuzz", &rows).expect("these rows encode");
        (leaves, segment.bytes)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (leaves, file) = whole();
    let mut file = file.clone();
    let mut damages = Vec::new();
    let foreign = bytes.first() == Some(&255);
    if foreign {
        file = bytes[1..].to_vec();
    } else {
        for damage in bytes.chunks_exact(4) {
            let place = u32::from_be_bytes([0, damage[0], damage[1], damage[2]]) as usize % file.len();
            damages.push(format!("byte {place}: {} to {}", file[place], damage[3]));
            file[place] = damage[3];
        }
    }
    let Ok(reader) = SegmentReader::from_bytes("fuzz", Bytes::from(file)) else { return };
    let Ok(read) = reader.read(0..1000).now_or_never().expect("memory is at hand") else { return };
    if !foreign {
        for (index, leaf) in &read {
            let same = leaves.get(*index as usize).is_some_and(|put| put == leaf);
            assert!(same, "row {index} became {} by {damages:?}", String::from_utf8_lossy(leaf));
        }
    }
});
