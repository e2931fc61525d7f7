//! Any bytes of a recording play, the same whatever pieces they come in.
//!
//! The first byte says how large the pieces are.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use meshtrail_recording::cast::{CastLine, Code, Piece, Repair, Screen, parse_line};
use meshtrail_recording::seal::{Index, IndexBuilder};

/// What a player would be given, line by line.
fn played(bytes: &[u8], piece: usize) -> Vec<String> {
    let (mut repair, mut lines, mut last) = (Repair::default(), Vec::new(), 0.0);
    for part in bytes.chunks(piece.max(1)) {
        repair.push(part, |piece| match piece {
            Piece::Header(header) => lines.push(header.to_playable()),
            Piece::Event { offset, line } => {
                assert!(line.time.is_finite() && line.time >= last, "times never go back");
                assert!(line.code != Code::Input, "keystrokes are never played");
                assert!((offset as usize) < bytes.len());
                last = line.time;
                lines.push(line.to_playable());
            }
        });
    }
    repair.finish();
    lines
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let lines = played(bytes, usize::from(piece));
    assert_eq!(lines, played(bytes, usize::MAX), "pieces make no difference");

    let mut screen: Option<Screen> = None;
    for (number, line) in lines.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).expect("what is played is JSON");
        if number == 0 {
            assert!(
                value["width"].as_u64() > Some(0) && value["height"].as_u64() > Some(0),
                "sizes are not zero"
            );
            continue;
        }
        let parsed: CastLine<'_> = parse_line(line.as_bytes()).expect("what is played is a line");
        let mut first = Repair::default();
        first.finish();
        screen.get_or_insert_with(|| Screen::new(first.size(), Duration::from_millis(20))).feed(&parsed);
    }
    let _picture = screen.and_then(|mut screen| screen.dump());

    let mut index = IndexBuilder::default();
    index.push(bytes);
    let packed = index.finish().packed().expect("an index packs into memory");
    assert!(Index::read(&packed).is_ok(), "an index reads back");
});
