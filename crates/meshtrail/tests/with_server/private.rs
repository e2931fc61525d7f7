//! Permissions of the files that a server writes, and its warnings about them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::server_process::{ServerProcess, run_ok};

const RECORDING: &str =
    "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1767225600}\n[0.5,\"o\",\"hi\"]\n";

/// Every file and folder below `folder`, with its mode and group.
fn modes_below(folder: &Path) -> Vec<(PathBuf, u32, u32)> {
    let mut modes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            modes.extend(modes_below(&path));
        }
        modes.push((path, metadata.mode() & 0o777, metadata.gid()));
    }
    modes
}

/// Runs a server with `arguments` while a recording is imported, stops it in order, and returns its log.
fn serve_a_recording(folder: &Path, arguments: &[&str]) -> String {
    let server = ServerProcess::start(folder, &[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
    fs::write(folder.join("one.cast"), RECORDING).unwrap();
    run_ok(folder, &["sessions", "import", "one.cast", "--store", "data"]);
    server.stop("-TERM")
}

#[test]
fn in_a_folder_that_is_open_to_all_only_its_owner_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let log = serve_a_recording(folder, &["--store", "data"]);
    assert!(log.contains("chmod -R go= data"), "{log}");
    let written = modes_below(&data);
    assert!(written.iter().any(|(path, ..)| path.to_string_lossy().ends_with(".cast.zst")), "{written:?}");
    for (path, mode, _) in written {
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let log = serve_a_recording(folder, &["--store", "data"]);
    assert!(!log.contains("chmod"), "{log}");
}

#[test]
fn a_group_of_the_configuration_reads_segments_and_recordings_and_nothing_of_the_servers_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let group = fs::metadata(folder).unwrap().gid();
    let config = format!("[store]\nlocation = \"data\"\ngroup = \"{group}\"\n");
    fs::write(folder.join("meshtrail.toml"), config).unwrap();
    serve_a_recording(folder, &["--config", "meshtrail.toml"]);
    let data = folder.join("data");
    let mut shared = 0;
    for (path, mode, gid) in modes_below(&data) {
        let within = path.strip_prefix(&data).unwrap();
        if within.starts_with("trails") || within.starts_with("recordings") {
            let wanted = if path.is_dir() { 0o750 } else { 0o640 };
            assert_eq!((mode, gid), (wanted, group), "{} has mode {mode:o}", path.display());
            shared += 1;
        } else if within.starts_with("local") || within.starts_with(".tmp") {
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        }
    }
    assert!(shared > 4, "{shared} files and folders of the store");
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o750);
}

#[test]
fn a_sign_in_link_is_printed_to_a_terminal_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = ServerProcess::start(folder, &["serve", "--listen", "127.0.0.1:0", "--store", "data"]);
    let out = fs::read_to_string(folder.join("serving.out")).unwrap();
    let link = run_ok(folder, &["sign-in", "--store", "data"]);
    let log = server.stop("-TERM");
    assert!(!out.contains("token=") && !log.contains("token="), "{out}{log}");
    assert!(out.contains("meshtrail sign-in --store data"), "{out}");
    assert!(link.starts_with("http://127.0.0.1:") && link.contains("/sign-in/link?token="), "{link}");
}
