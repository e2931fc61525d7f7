//! The map in ARCHITECTURE.md, held against the tree.

use std::path::Path;

fn read() -> (&'static Path, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is below the root");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("it is at the root");
    (root, text)
}

fn section<'t>(text: &'t str, title: &str) -> &'t str {
    text.split("\n## ").find(|section| section.starts_with(title)).expect("the section is there")
}

#[test]
fn every_file_that_the_map_names_is_there() {
    let (root, text) = read();
    let sections = ["Map", "Where to change what"].into_iter().map(|title| section(&text, title));
    let named = sections.flat_map(|part| part.split('`').skip(1).step_by(2));
    let mut paths = 0;
    for path in named.filter(|path| !path.contains('…')) {
        let Some((name, rest)) = path.split_once('/') else { continue };
        let places = [
            Path::new(path),
            &Path::new("crates").join(path),
            &Path::new("crates").join(format!("meshtrail-{name}/src")).join(rest),
        ];
        assert!(places.iter().any(|place| root.join(place).exists()), "{path} is not there");
        paths += 1;
    }
    assert!(paths > 50, "the map is read as it is written: {paths}");
}

#[test]
fn every_crate_is_on_the_map() {
    let (root, text) = read();
    let map = section(&text, "Map");
    for entry in std::fs::read_dir(root.join("crates")).expect("there are crates") {
        let name = entry.expect("it can be listed").file_name().into_string().expect("it is text");
        assert!(map.contains(&format!("| `{name}` |")), "{name} has no row");
    }
}
