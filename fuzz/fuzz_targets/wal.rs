//! Any payload of a log frame is a batch of events with rising indexes, or an error; any first page a header or not.
//!
//! The checksum that stands before both is left out: it would stop nearly every input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_log::HEADER_SIZE;
use meshtrail_trail::wal::{HEADER, parse_batch};

fuzz_target!(|bytes: &[u8]| {
    let mut page = bytes.to_vec();
    assert!(HEADER.read(&page).is_err() || page.len() >= HEADER_SIZE);
    page.resize(HEADER_SIZE, 0);
    let _generation = HEADER.read(&page);

    if let Ok((_written, entries)) = parse_batch(bytes) {
        let leaves: usize = entries.iter().map(|entry| entry.leaf.len()).sum();
        assert!(leaves <= bytes.len());
        for pair in entries.windows(2) {
            assert_eq!(pair[0].index + 1, pair[1].index);
        }
    }
});
