//! Every row put into a segment comes out of it byte for byte, whatever it is.
//!
//! Each line of the input is a row; one that is an event goes in as its leaf too.

#![no_main]

use bytes::Bytes;
use futures::FutureExt;
use libfuzzer_sys::fuzz_target;
use meshtrail_event::{Event, Family};
use meshtrail_trail::segment::{SegmentReader, encode};

fuzz_target!(|bytes: &[u8]| {
    let mut rows: Vec<Vec<u8>> = Vec::new();
    let mut family = Family::Other;
    for line in bytes.split(|&byte| byte == b'\n').take(64) {
        rows.push(line.to_vec());
        if let Ok(event) = Event::from_json(line) {
            family = event.kind.family();
            rows.push(event.to_leaf());
        }
    }
    let indexed: Vec<(u64, &[u8])> = (7u64..).step_by(3).zip(rows.iter().map(Vec::as_slice)).collect();
    let Ok(segment) = encode(family, "fuzz", &indexed) else { return };
    let reader = SegmentReader::from_bytes("fuzz", Bytes::from(segment.bytes)).expect("a segment opens");
    let read = reader.read(0..u64::MAX).now_or_never().expect("memory is at hand").expect("a segment reads");
    assert_eq!(read.len(), indexed.len());
    for ((index, leaf), (read_index, read_leaf)) in indexed.iter().zip(&read) {
        assert_eq!((index, *leaf), (read_index, &read_leaf[..]));
    }
});
