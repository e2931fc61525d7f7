use std::fs;
use std::path::Path;

use super::*;

const HEADER: Header = Header { magic: *b"TESTLOG\n", version: 1 };
const FORMAT: Format<1> = Format {
    magic: *b"TEST",
    order: Order::LengthFirst,
    kinds: 1,
    max_payload: 100,
    proves_synced: |at, _, [synced]| *synced > at,
};

/// Creates a file and appends each group of payloads with one sync.
fn write_file(folder: &Path, generation: u64, groups: &[&[&str]], faults: Faults<LogStep>) -> LogWriter {
    let path = folder.join(format!("{generation}.test"));
    let new = NewFile::create(folder.join("new"), 8192).unwrap();
    let mut log = new.into_log(&path, generation, &HEADER.page(generation), faults).unwrap();
    for group in groups {
        let mut frames = Vec::new();
        for payload in *group {
            let append = |out: &mut Vec<u8>| out.extend_from_slice(payload.as_bytes());
            FORMAT.write(&mut frames, generation, 1, [log.tail()], append);
        }
        log.reserve(frames.len()).unwrap();
        log.append(&frames).unwrap();
    }
    log
}

fn payloads(scan: &Scan<'_, 1>) -> Vec<String> {
    let whole = scan.frames.iter().filter(|(at, _)| *at < scan.end);
    whole.map(|(_, frame)| String::from_utf8(frame.payload.to_vec()).unwrap()).collect()
}

#[test]
fn a_start_reads_every_group_and_the_front_is_dropped_by_the_file() {
    let folder = tempfile::tempdir().unwrap();
    drop(write_file(folder.path(), 9, &[&["a", "bc"], &["def"]], Faults::none()));
    drop(write_file(folder.path(), 10, &[&["ghij"]], Faults::none()));
    let read = || -> Vec<String> {
        let files = files_in(folder.path(), "test").unwrap();
        let of_file = |(generation, path): (u64, _)| {
            let bytes = fs::read(path).unwrap();
            assert_eq!(HEADER.read(&bytes), Ok(generation));
            let scan = FORMAT.scan(&bytes, HEADER_SIZE, generation);
            assert_eq!(scan.rest, Rest::Room);
            payloads(&scan)
        };
        files.into_iter().flat_map(of_file).collect()
    };
    assert_eq!(read(), ["a", "bc", "def", "ghij"]);
    fs::remove_file(&files_in(folder.path(), "test").unwrap()[0].1).unwrap();
    assert_eq!(read(), ["ghij"]);
}

#[test]
fn a_flipped_byte_is_damage_where_a_later_frame_proves_it_synced_and_a_torn_write_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let log = write_file(folder.path(), 1, &[&["a", "bc"], &["def"]], Faults::none());
    let (whole, end) = (fs::read(&log.file().path).unwrap(), usize::try_from(log.tail()).unwrap());
    let last = end - FORMAT.size(3);
    for at in HEADER_SIZE..end {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let scan = FORMAT.scan(&bytes, HEADER_SIZE, 1);
        assert!(scan.end <= at && at < scan.end + FORMAT.size(3), "byte {at}: {scan:?}");
        assert_eq!(matches!(scan.rest, Rest::Damaged(_)), at < last, "byte {at}: {scan:?}");
    }
    fs::write(&log.file().path, &whole[..end - 8]).unwrap();
    clear_tail(&log.file().path, last as u64).unwrap();
    let rest = FORMAT.scan(&fs::read(&log.file().path).unwrap(), HEADER_SIZE, 1).rest;
    assert_eq!(rest, Rest::Room);
}

#[test]
fn frames_of_another_generation_are_none() {
    for order in [Order::LengthFirst, Order::ChecksumFirst] {
        let (format, mut bytes) = (Format { order, ..FORMAT }, Vec::new());
        format.write(&mut bytes, 7, 1, [0], |out| out.push(1));
        assert_eq!(format.scan(&bytes, 0, 7).frames.len(), 1);
        assert_eq!(format.scan(&bytes, 0, 8).rest, Rest::Torn);
    }
}

#[test]
fn a_file_without_its_name_is_not_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::with_plan(|step, moment| (step, moment) == (LogStep::Create, Moment::Before));
    let new = NewFile::create(folder.path().join("new"), 8192).unwrap();
    new.into_log(&folder.path().join("1.test"), 1, &HEADER.page(1), faults).unwrap_err();
    assert!(files_in(folder.path(), "test").unwrap().is_empty());
    drop(write_file(folder.path(), 1, &[&["a"]], Faults::none()));
    assert_eq!(files_in(folder.path(), "test").unwrap().len(), 1);
}
