//! Shapes of several versions, and error messages.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;

use super::client::HeadscaleClient;
use super::shapes::{Node, Nodes};
use crate::config::SecretPlace;
use crate::web::{ApiClient, Timeouts};

#[test]
fn tags_of_every_version_are_read() {
    let (newer, older) = (
        json!({"id": "7", "givenName": "db-1", "tags": ["tag:db"], "user": {"id": "2147455555", "name": "tagged-devices"}}),
        json!({"id": 7, "givenName": "db-1", "forcedTags": ["tag:db"], "validTags": [], "tags": null, "user": {"id": "1", "name": "ana"}}),
    );
    for node in [newer, older] {
        let state = serde_json::from_value::<Node>(node).unwrap().state();
        assert_eq!((state.id.as_str(), state.owner.as_deref()), ("7", None));
        assert!(state.tags.contains("tag:db"));
    }
}

#[test]
fn a_route_is_in_force_when_it_is_approved_and_offered() {
    let node = json!({
        "id": "7", "expiry": null, "user": {"id": "1", "name": "ana", "email": ""}, "newMember": 1,
        "approvedRoutes": ["10.40.0.0/16", "10.99.0.0/16"], "availableRoutes": ["10.40.0.0/16", "10.41.0.0/16"],
    });
    let state = serde_json::from_value::<Node>(node).unwrap().state();
    assert_eq!(state.enabled_routes.iter().collect::<Vec<_>>(), ["10.40.0.0/16"]);
    assert_eq!((state.owner.as_deref(), state.key_expiry_disabled), (Some("ana"), Some(true)));
}

#[test]
fn a_list_that_is_not_there_is_no_empty_list() {
    assert!(serde_json::from_str::<Nodes>(r#"{"code": 5}"#).is_err());
    assert!(serde_json::from_str::<Nodes>(r#"{"nodes": null}"#).unwrap().nodes.is_empty());
}

/// The error's text when each request gets this response.
async fn error_text(status: u16, body: &'static str) -> String {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    let router = axum::Router::new().fallback(move || async move { (status, body) });
    let server = Arc::new(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("headscale.key");
    std::fs::write(&key, "hskey-api-x").unwrap();
    let client = HeadscaleClient::new(
        ApiClient::new(&url, Timeouts::default(), None).unwrap(),
        SecretPlace::File(key),
    );
    let error = client.devices(meshtrail_event::Timestamp::now()).await.unwrap_err();
    server.abort();
    error.to_string()
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let refused = error_text(401, "Unauthorized").await;
    assert!(refused.contains("headscale apikeys create") && refused.contains("headscale.key"), "{refused}");
    assert!(error_text(404, "404 page not found").await.contains("sources.headscale.url"));
    assert!(error_text(302, "").await.contains("sources.headscale.url"));
    let trouble = error_text(500, r#"{"code":2,"message":"database is locked"}"#).await;
    assert!(trouble.contains("500") && trouble.contains("database is locked"), "{trouble}");
    assert!(error_text(200, "<html>").await.contains("can't be understood"));
}
