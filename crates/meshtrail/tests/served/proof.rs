//! What `verify` and a start say after somebody was at the files.

use std::path::Path;

use crate::running::{Serving, done, json_lines, run};
use crate::sessions::{HEADER, ended_session, serve};

/// Standard output and error of a command that must find something.
fn found(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    text
}

/// A folder with a recording of some megabytes, and the server stopped in order.
fn recorded(folder: &Path) -> String {
    let server = serve(folder);
    let lines: Vec<String> = (0..40_000)
        .map(|second| {
            format!("[{second},\"o\",\"\\r\\nline {second}, with some text to fill up the recording\"]")
        })
        .collect();
    let lines: Vec<&str> = std::iter::once(HEADER).chain(lines.iter().map(String::as_str)).collect();
    server.record(&lines);
    let session = ended_session(folder);
    server.stop("-TERM");
    session["id"].as_str().unwrap().to_owned()
}

/// Gives a place of an index without a screen one that never was.
fn fabricate(path: &Path) {
    let packed = std::fs::read(path).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    let at = text.lines().skip(1).find(|line| !line.contains("\"screen\"")).unwrap();
    let changed = format!("{},\"screen\":\"FABRICATED\"}}", at.strip_suffix('}').unwrap());
    std::fs::write(path, zstd::encode_all(text.replace(at, &changed).as_bytes(), 3).unwrap()).unwrap();
}

#[test]
fn a_changed_index_and_objects_that_no_event_speaks_of_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let id = recorded(folder);
    let store = folder.join("meshtrail-data");
    done(folder, &["verify", "--all"]);
    let date = &id[..8];
    let day = format!("recordings/{}/{}/{}", &date[..4], &date[4..6], &date[6..]);
    let index = store.join(format!("{day}/{id}.index.zst"));
    let whole = std::fs::read(&index).unwrap();
    fabricate(&index);
    let said = found(folder, &["verify", "--all"]);
    assert!(said.contains(&format!("{day}/{id}.index.zst was changed")), "{said}");
    let said = found(folder, &["verify", &id]);
    assert!(said.contains(".index.zst was changed"), "{said}");
    std::fs::write(&index, whole).unwrap();

    let recording = std::fs::read(store.join(format!("{day}/{id}.cast.zst"))).unwrap();
    for (added, why) in [
        (format!("{day}/{date}-main-1-99.cast.zst"), "no event speaks of it"),
        (format!("{day}/{date}-main-1-99.index.zst"), "no event speaks of it"),
        (format!("{day}/{date}-other-1-1.cast.zst"), "there is no trail other here"),
        (format!("recordings/1999/01/01/{id}.cast.zst"), "no recorder puts such an object here"),
    ] {
        let path = store.join(&added);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &recording).unwrap();
        let said = found(folder, &["verify", "--all"]);
        assert!(said.contains(&format!("FAILS  {added}")) && said.contains(why), "{added}: {said}");
        std::fs::remove_file(path).unwrap();
    }
    // A crash between a recording and its event leaves what the next start goes on with.
    let left = format!("{day}/{date}-main-1-99.cast.zst");
    std::fs::write(store.join(&left), &recording).unwrap();
    std::fs::write(store.join(format!("local/spool/{date}-main-1-99.json")), "{}").unwrap();
    done(folder, &["verify", "--all"]);
}

#[test]
fn a_start_over_less_than_was_given_out_is_refused_and_a_new_trail_names_the_old_head() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    server.record(&[HEADER, r#"[0.5,"o","hello"]"#]);
    ended_session(folder);
    let note = done(folder, &["checkpoint"]);
    // Killed: all of it is in the log.
    drop(server);
    let data = folder.join("meshtrail-data");
    assert_eq!(std::fs::read_to_string(data.join("local/head")).unwrap().trim_end(), note.trim_end());
    done(folder, &["verify", "--all"]);
    let aside = folder.join("aside");
    std::fs::create_dir(&aside).unwrap();
    std::fs::rename(data.join("local/wal"), aside.join("wal")).unwrap();
    let said = found(folder, &["verify", "--all"]);
    assert!(said.contains("local/head") && said.contains("there is no log"), "{said}");
    let ports = ["--listen", "127.0.0.1:0", "--recorder-listen", "127.0.0.1:0"];
    let said = found(folder, &[&["serve"][..], &ports].concat());
    assert!(said.contains("only 0 are here") && said.contains("another `trail.name`"), "{said}");

    std::fs::remove_dir_all(data.join("local/wal")).unwrap();
    std::fs::rename(data.join("local/head"), aside.join("head")).unwrap();
    std::fs::write(folder.join("next.toml"), "[trail]\nname = \"next\"\n").unwrap();
    let server = Serving::start(folder, &[&["serve", "--config", "next.toml"][..], &ports].concat());
    let first = done(folder, &["events", "query", "--order", "oldest", "--limit", "1", "--json"]);
    let first = &json_lines(&first)[0];
    assert_eq!(
        (first["id"].as_str(), first["detail"]["what"].as_str()),
        (Some("next.trail.1.1"), Some("trail"))
    );
    let (origin, size) = (note.lines().next().unwrap(), note.lines().nth(1).unwrap());
    let message = first["detail"]["message"].as_str().unwrap();
    assert!(message.contains(origin) && message.contains(&format!("over {size} events")), "{message}");
    drop(server);

    // Put back as it was, the old trail goes on.
    std::fs::remove_dir_all(data.join("local/wal")).unwrap();
    for name in ["wal", "head"] {
        std::fs::rename(aside.join(name), data.join("local").join(name)).unwrap();
    }
    let server = serve(folder);
    std::fs::write(folder.join("kept.note"), note).unwrap();
    assert!(done(folder, &["verify", "--checkpoint", "kept.note"]).contains("holds  older checkpoint"));
    drop(server);
}
