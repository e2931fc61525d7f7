use ed25519_dalek::{Signer, SigningKey};
use meshtrail_trail::tree::{Hash, node_hash};

use super::*;
use crate::pack::PackParts;

const SESSION: &str = "20261120-main-3-17";

fn event(sequence: u64, kind: &str, detail: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"id":"main.recorder.3.{sequence}","kind":"{kind}","session":"{SESSION}","outcome":"success",
        "time":"2026-11-20T14:02:11Z","received":"2026-11-20T14:02:11Z","detail":{detail}}}"#
    );
    Event::from_json(json.as_bytes()).unwrap().to_leaf()
}

fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) =
                hashes.split_at((hashes.len() as u64).div_ceil(2).next_power_of_two() as usize);
            node_hash(&root(left), &root(right))
        }
    }
}

fn path(at: usize, hashes: &[Hash]) -> Vec<Hash> {
    if hashes.len() == 1 {
        return Vec::new();
    }
    let (left, right) = hashes.split_at((hashes.len() as u64).div_ceil(2).next_power_of_two() as usize);
    let (mut way, other) = if at < left.len() {
        (path(at, left), root(right))
    } else {
        (path(at - left.len(), right), root(left))
    };
    way.push(other);
    way
}

/// A checkpoint's note and the key it is signed by.
fn sign_checkpoint(size: u64, root: Hash) -> (String, String) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let name = "trail.example.com/main";
    let public = [&[1u8][..], key.verifying_key().as_bytes()].concat();
    let id = &Sha256::digest([name.as_bytes(), b"\n", &public].concat())[..4];
    let body = format!("{name}\n{size}\n{}\n", root.to_base64());
    let signature = BASE64_STANDARD.encode([id, &key.sign(body.as_bytes()).to_bytes()].concat());
    (
        format!("{body}\n— {name} {signature}\n"),
        format!("{name}+{}+{}", hex::encode(id), BASE64_STANDARD.encode(public)),
    )
}

fn pack() -> Pack {
    let recording =
        b"{\"version\":2,\"width\":80,\"height\":24}\n[0.5,\"o\",\"</script><b>hello\"]\n".to_vec();
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let of_session = [
        event(1, "ssh.session.started", "{}"),
        event(2, "recording.mark", &format!(r#"{{"bytes":40,"sha256":"{}"}}"#, digest(&recording[..40]))),
        event(
            3,
            "ssh.session.ended",
            &format!(r#"{{"bytes":{},"marks":1,"sha256":"{}"}}"#, recording.len(), digest(&recording)),
        ),
    ];
    let mut leaves: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n]).collect();
    leaves.extend(of_session.iter().cloned());
    leaves.push(b"another".to_vec());
    leaves.push(b"and another".to_vec());
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let (checkpoint, vkey) = sign_checkpoint(leaves.len() as u64, root(&hashes));
    let events = of_session
        .into_iter()
        .zip(4u64..)
        .map(|(leaf, index)| (index, leaf, path(usize::try_from(index).unwrap(), &hashes)));
    let parts = PackParts {
        session: SESSION.parse().unwrap(),
        recording,
        events: events.collect(),
        checkpoint,
        vkey,
        size: leaves.len() as u64,
    };
    Pack::build(parts).unwrap()
}

/// What the report says is wrong.
fn wrong(html: &[u8]) -> Vec<&'static str> {
    check(html).checks.iter().filter(|check| !check.holds).map(|check| check.what).collect()
}

fn replaced(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_whole_pack_holds() {
    let report = check(&pack().to_html());
    assert!(report.holds(), "{report:#?}");
    assert_eq!(report.checkpoint, Some(("trail.example.com/main".to_owned(), 9)));
}

#[test]
fn one_changed_byte_in_any_part_shows_in_that_part() {
    let whole = pack();
    let mut changed = whole.clone();
    changed.recording.data = replaced(&whole.recording.data, 30);
    assert_eq!(wrong(&changed.to_html()), ["recording"]);

    let mut changed = whole.clone();
    let leaf = String::from_utf8(BASE64_STANDARD.decode(&whole.events[2].leaf).unwrap()).unwrap();
    changed.events[2].leaf = BASE64_STANDARD.encode(leaf.replace("success", "failure"));
    assert_eq!(wrong(&changed.to_html()), ["events"]);

    let mut changed = whole.clone();
    changed.events[1].hashes[2] = leaf_hash(b"another");
    assert_eq!(wrong(&changed.to_html()), ["events"]);

    let mut changed = whole.clone();
    changed.checkpoint = whole.checkpoint.replace("\n9\n", "\n8\n");
    assert!(wrong(&changed.to_html()).contains(&"key and checkpoint"));

    let mut changed = whole.clone();
    changed.vkey = replaced(&whole.vkey, whole.vkey.len() - 8);
    assert!(wrong(&changed.to_html()).contains(&"key and checkpoint"));

    let html = String::from_utf8(whole.to_html()).unwrap();
    assert_eq!(wrong(html.replacen("Nothing has been", "Nothing had been", 1).as_bytes()), ["file"]);
    assert_eq!(wrong(html.replacen("meshtrail-pack-1", "meshtrail-pack-7", 1).as_bytes()), ["file"]);
}

#[test]
fn a_byte_changed_anywhere_in_the_data_is_never_passed_over() {
    let html = pack().to_html();
    let text = String::from_utf8(html.clone()).unwrap();
    let begin = text.find("id=\"pack\">").unwrap() + 10;
    let end = begin + text[begin..].find("</script>").unwrap();
    for at in begin..end {
        let mut changed = html.clone();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        assert!(
            !check(&changed).holds(),
            "a change of byte {at} ({:?}) was passed over",
            char::from(html[at])
        );
    }
}

#[test]
fn a_missing_mark_shows() {
    let mut changed = pack();
    changed.events.remove(1);
    assert_eq!(wrong(&changed.to_html()), ["recording"]);
}

#[test]
fn what_is_no_pack_is_said_to_be_none() {
    for html in [
        &b""[..],
        b"<html></html>",
        b"\xff\xfe",
        b"<script type=\"application/json\" id=\"pack\">{}</script>",
    ] {
        assert_eq!(wrong(html), ["file"]);
    }
}

#[test]
fn nothing_in_a_recording_can_end_the_block_it_stands_in() {
    let mut hostile = pack();
    hostile.checkpoint.push_str("</script><script>alert(1)</script>");
    let html = String::from_utf8(hostile.to_html()).unwrap();
    assert!(!html.contains("<script>alert"));
}
