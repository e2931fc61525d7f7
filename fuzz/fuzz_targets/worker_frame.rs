//! Whatever a worker sends is a message or an error, and allocates no more than a message may.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_worker::frame;
use meshtrail_worker::message::FromWorker;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    runtime.block_on(async {
        let mut left = bytes;
        while let Ok(Some(message)) = frame::read_async::<FromWorker>(&mut left).await {
            let written = frame::encode(&message, &[]).expect("a message that was read has a length");
            let again = frame::read_async::<FromWorker>(&mut &written[..]).await;
            assert!(matches!(again, Ok(Some(_))), "a message that was written is not read");
        }
    });
});
