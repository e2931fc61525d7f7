//! Any bytes are a flow report or not; what is one can be looked at again with the same result.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_flow::Flows;

fuzz_target!(|bytes: &[u8]| {
    let taken = Flows::check(bytes);
    assert_eq!(taken, Flows::check(bytes));
});
