use std::fs;

use meshtrail_event::{Family, Timestamp};
use meshtrail_log::{HEADER_SIZE, clear_tail};

use super::*;

/// Writes a file with `batches` batches of two events each; returns the offset behind each batch.
fn write_file(folder: &std::path::Path, batches: u64) -> (LogWriter, Vec<u64>) {
    let mut file = create(folder, 1, 0, &Faults::none()).unwrap();
    let mut ends = Vec::new();
    for at in 0..batches {
        let mut batch = Batch::default();
        for sequence in [2 * at + 1, 2 * at + 2] {
            let id = format!("agent.a.1.{sequence}").parse().unwrap();
            batch.push(id, Family::Flow, Timestamp::from_nanos(5), format!("leaf {sequence}").as_bytes());
        }
        let mut frames = Vec::new();
        write_batch(&mut frames, file.tail(), 2 * at, &batch);
        file.reserve(frames.len()).unwrap();
        file.append(&frames).unwrap();
        ends.push(file.tail());
    }
    (file, ends)
}

fn write_batch(frames: &mut Vec<u8>, synced: u64, first: u64, batch: &Batch) {
    let count = u32::try_from(batch.events.len()).unwrap();
    FORMAT.write(frames, 1, BATCH, [synced], |out| {
        begin_batch(out, first, Timestamp::from_nanos(9), count);
        out.extend_from_slice(&batch.entries);
    });
}

fn events(folder: &std::path::Path) -> Result<(u64, bool), WalError> {
    let mut count = 0;
    let scanned = scan(folder, &mut |entry| {
        assert_eq!(entry.leaf, format!("leaf {}", entry.index + 1).as_bytes());
        count += 1;
    })?;
    Ok((count, scanned.torn.is_some()))
}

#[test]
fn a_file_has_the_bytes_of_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = write_file(folder.path(), 1);
    mark(&file).unwrap();
    let mut expected = b"MESHWAL\n\x01\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    expected.resize(4092, 0);
    for part in [
        // The header's checksum.
        "3d0d3ab0",
        // The batch: head, index, time and count, two entries, padding.
        "4d5446526a00000019826780010000000010000000000000",
        "0000000000000000090000000000000002000000",
        "076167656e742e6101000000000000000100000000000000050500000000000000060000006c6561662031",
        "076167656e742e6101000000000000000200000000000000050500000000000000060000006c6561662032",
        "000000000000",
        // The mark.
        "4d5446520000000006340de2020000008810000000000000",
    ] {
        expected.extend(hex::decode(part).unwrap());
    }
    expected.resize(1 << 20, 0);
    assert!(fs::read(&file.file().path).unwrap() == expected);
}

#[test]
fn a_log_cut_off_anywhere_keeps_every_whole_batch_and_no_half_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ends) = write_file(folder.path(), 4);
    let whole = fs::read(&file.file().path).unwrap();
    for cut in (HEADER_SIZE..=usize::try_from(file.tail()).unwrap()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        fs::write(&file.file().path, &bytes).unwrap();
        let kept = ends.iter().filter(|&&end| end <= cut as u64).count() as u64;
        let (count, _) = events(folder.path()).unwrap();
        // Padding is zeros: a batch may be whole even if its last bytes were cut off.
        assert!(count == 2 * kept || count == 2 * kept + 2, "cut at {cut}: {count} events");
    }
}

#[test]
fn a_flipped_byte_in_what_was_acknowledged_is_named_by_file_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ends) = write_file(folder.path(), 4);
    mark(&file).unwrap();
    let whole = fs::read(&file.file().path).unwrap();
    for at in 0..usize::try_from(file.tail()).unwrap() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&file.file().path, &bytes).unwrap();
        let begins = ends.iter().rev().find(|&&end| end <= at as u64).copied().unwrap_or(HEADER_SIZE as u64);
        let expected = if at < HEADER_SIZE { 0 } else { begins };
        match events(folder.path()) {
            Err(WalError::Damaged { path, offset, .. }) => {
                assert_eq!((path, offset), (file.file().path.clone(), expected))
            }
            Err(WalError::Newer { .. }) => assert!((8..12).contains(&at)),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn an_unacknowledged_write_may_be_torn_in_any_order_of_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ends) = write_file(folder.path(), 2);
    // One write of two frames, of which only the second reached the disk.
    let mut frames = Vec::new();
    for first in [4, 5] {
        let mut batch = Batch::default();
        let id = format!("agent.a.1.{}", first + 1).parse().unwrap();
        batch.push(id, Family::Flow, Timestamp::from_nanos(5), format!("leaf {}", first + 1).as_bytes());
        write_batch(&mut frames, ends[1], first, &batch);
    }
    let mut bytes = fs::read(&file.file().path).unwrap();
    let (at, half) = (usize::try_from(ends[1]).unwrap(), frames.len() / 2);
    bytes[at + half..at + frames.len()].copy_from_slice(&frames[half..]);
    fs::write(&file.file().path, &bytes).unwrap();
    assert_eq!(events(folder.path()).unwrap(), (4, true));
    clear_tail(&file.file().path, ends[1]).unwrap();
    assert_eq!(events(folder.path()).unwrap(), (4, false));
}

#[test]
fn arbitrary_bytes_never_panic() {
    use proptest::prelude::*;
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..300))| {
        drop(parse_batch(&bytes));
        drop(HEADER.read(&bytes));
        drop(FORMAT.scan(&bytes, 0, 1));
    });
}
