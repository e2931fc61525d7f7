//! Whatever is uploaded, each receiver reads it to an end, and what becomes a line fits into a trail.
//!
//! The first byte says which receiver.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_collect::receive::dry_run;
use meshtrail_event::Timestamp;

/// The most bytes that a body decodes to here.
const MOST: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let now = Timestamp::from_seconds(1_795_167_106).expect("a time");
    match which % 6 {
        0 => {
            for draft in dry_run::logtail(bytes, now) {
                dry_run::check(draft, now).expect("a line fits into a trail");
            }
        }
        1 => {
            let _taken = dry_run::hec(bytes);
        }
        2 => {
            let _documents = dry_run::bulk(bytes);
        }
        3 => {
            let half = bytes.len() / 2;
            let header = String::from_utf8_lossy(&bytes[..half]);
            assert!(!dry_run::webhook(&header, &bytes[half..], "a secret that nobody knows", now));
        }
        gzip => {
            let decoded = dry_run::decode(bytes, gzip == 4, MOST);
            assert!(decoded.is_none_or(|decoded| decoded.len() <= MOST));
        }
    }
});
