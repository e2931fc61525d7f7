//! Any bytes are a manifest that is written the same again, or an error that names the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_trail::manifest::{Fold, Manifest, manifest_number};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(name) = std::str::from_utf8(bytes) {
        let _number = manifest_number(name);
    }
    match Manifest::parse("0000000001.json", bytes) {
        Err(error) => assert!(error.to_string().contains("0000000001.json")),
        Ok(manifest) => {
            let (written, hash) = manifest.to_bytes();
            assert_eq!(written, bytes);
            let mut fold = Fold::new(manifest.trail.clone(), manifest.origin.clone());
            if fold.apply(&manifest, hash).is_ok() {
                assert_eq!(fold.size(), fold.tree().size);
            }
        }
    }
});
