use super::*;

fn read(text: &str) -> Result<SourcesConfig, String> {
    let file: SourcesFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    SourcesConfig::try_from(file).map_err(|error| error.to_string())
}

#[test]
fn three_lines_name_a_headscale() {
    let read =
        read(r#"{"headscale":{"url":"http://127.0.0.1:8080","api_key_file":"headscale.key"}}"#).unwrap();
    let headscale = read.headscale.unwrap();
    assert_eq!(headscale.api_key, SecretPlace::File("headscale.key".into()));
    assert!(read.tailscale.is_none());
}

#[test]
fn an_oauth_client_or_an_api_key_names_a_tailnet_and_defaults_do_the_rest() {
    let key =
        read(r#"{"tailscale":{"tailnet":"example.com","api_key_file":"k"}}"#).unwrap().tailscale.unwrap();
    assert_eq!(key.api_url.as_str(), "https://api.tailscale.com/");
    assert_eq!(key.credentials, Credentials::ApiKey(SecretPlace::File("k".into())));
    let oauth =
        read(r#"{"tailscale":{"oauth_client_id":"kX","flow_logs":false}}"#).unwrap().tailscale.unwrap();
    let secret = SecretPlace::Environment("MESHTRAIL_TAILSCALE_OAUTH_SECRET");
    assert_eq!(oauth.credentials, Credentials::OAuth { client_id: "kX".to_owned(), secret });
    assert_eq!((oauth.tailnet.as_str(), oauth.flows_every), ("-", None));
}

#[test]
fn each_wrong_value_of_a_source_is_refused_by_its_key() {
    for (text, key) in [
        (r#"{"tailscale":{"api_key":"tskey-api-x"}}"#, "api_key"),
        (r#"{"tailscale":{"api_key_file":"a","oauth_client_id":"b"}}"#, "sources.tailscale.api_key_file"),
        (r#"{"tailscale":{"oauth_secret_file":"a"}}"#, "sources.tailscale.oauth_client_id"),
        (r#"{"tailscale":{"tailnet":"a/../b"}}"#, "sources.tailscale.tailnet"),
        (r#"{"tailscale":{"api_url":"api.tailscale.com"}}"#, "sources.tailscale.api_url"),
        (r#"{"tailscale":{"api_url":"https://me:pw@x.example"}}"#, "sources.tailscale.api_url"),
        (r#"{"tailscale":{"audit_every":"1s"}}"#, "sources.tailscale.audit_every"),
        (r#"{"tailscale":{"audit_since":"91d"}}"#, "sources.tailscale.audit_since"),
        (r#"{"headscale":{}}"#, "url"),
        (r#"{"headscale":{"url":"https://h.example/api/v1"}}"#, "sources.headscale.url"),
        (r#"{"headscale":{"url":"https://h.example","every":"soon"}}"#, "sources.headscale.every"),
        (r#"{"tailscail":{}}"#, "tailscail"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(key), "{text} was refused with {error:?}");
    }
}

#[test]
fn every_example_in_the_manual_is_taken() {
    let manual = include_str!("../../../../docs/sources.md");
    let examples: Vec<&str> =
        manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let table: toml::Table = toml::from_str(example).unwrap();
        let file: SourcesFile = table["sources"].clone().try_into().unwrap();
        SourcesConfig::try_from(file).unwrap();
    }
}
