use super::*;

fn read(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meshtrail.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), Overrides::default()).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_means_a_folder_beside_us_on_loopback() {
    let config = read("").unwrap();
    assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
    assert_eq!((config.store.as_str(), config.data.as_path()), (DEFAULT_DATA, Path::new(DEFAULT_DATA)));
    assert_eq!(config.trail.name, "main");
    assert!(config.recorder_listen.is_empty());
}

#[test]
fn each_wrong_value_is_refused_by_its_key() {
    for (text, key) in [
        ("listen = \"nowhere\"", "listen"),
        ("lisen = \"127.0.0.1:1\"", "lisen"),
        ("names = [\"ok.example\", \"http://x\"]", "names[1]"),
        ("[recorder]\nlisten = [\"tailscale:0\"]", "recorder.listen[0]"),
        ("[recorder]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "recorder.listen[1]"),
        ("[roles]\nadmin = [\"group:\"]", "roles.admin[0]"),
        ("[roles]\nowner = []", "owner"),
        ("[trail]\nname = \"Main\"", "trail.name"),
        ("[trail]\nship_every = \"2m\"", "trail.ship_every"),
        ("[trail]\nretention = \"ten days\"", "trail.retention"),
        ("[trail]\nsegment_events = 0", "trail.segment_events"),
        ("store = \"\"", "store"),
        ("store = 7", "a table with `location` and `group`"),
        ("[store]\ngruop = \"audit\"", "gruop"),
        ("[store]\ngroup = \"no such group\"", "store.group"),
        ("[store]\nlocation = \"s3://bucket/x\"\ngroup = \"1007\"", "store.group"),
        ("[object_lock]\nmode = \"compliance\"\nkeep = \"1h\"", "object_lock.keep"),
        ("[object_lock]\nmode = \"loose\"\nkeep = \"9d\"", "loose"),
        ("listen = 7411", "listen"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(key), "{text:?} was refused with {error:?}");
    }
}

#[test]
fn flags_override_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meshtrail.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:1\"\n[recorder]\nlisten = [\"tailscale:80\"]").unwrap();
    let overrides = Overrides {
        listen: Some("[::1]:0".to_owned()),
        recorder_listen: vec!["127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()],
        store: Some("s3://bucket/x".to_owned()),
        ..Overrides::default()
    };
    let config = Config::load(Some(&path), overrides).unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.recorder_listen.len(), 2);
    assert_eq!(config.data, Path::new(DEFAULT_DATA));
}

#[test]
fn a_store_is_a_place_alone_or_a_table_with_who_else_may_read() {
    let config = read("[store]\nlocation = \"/srv/mesh\"\ngroup = \"1007\"").unwrap();
    assert_eq!((config.store.as_str(), config.data.as_path()), ("/srv/mesh", Path::new("/srv/mesh")));
    assert_eq!(config.store_group, Some(1007));
    let config = read("[store]\ngroup = \"1007\"").unwrap();
    assert_eq!((config.store.as_str(), config.store_group), (DEFAULT_DATA, Some(1007)));
    let config = read("store = \"/srv/mesh\"").unwrap();
    assert_eq!((config.store.as_str(), config.store_group), ("/srv/mesh", None));
}

#[test]
fn every_example_in_the_manual_is_taken() {
    let manual = include_str!("../../../../docs/configuration.md");
    let examples: Vec<&str> =
        manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let config = read(example).unwrap();
        assert_eq!(config.recorder_listen, [RecorderListen::Tailscale { port: 80 }]);
    }
}
