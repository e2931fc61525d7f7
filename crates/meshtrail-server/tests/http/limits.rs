//! The limits of one peer, and their metrics.

use reqwest::Method;

use crate::test_server::TestServer;

#[tokio::test]
async fn metrics_are_for_viewers_and_count_what_is_open_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    for path in ["/metrics", "/api/v1/sessions"] {
        let refused = server.request(Method::GET, path).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path} without credentials");
    }
    let (sender, _) = server.token("agent", "sender").await;
    assert_eq!(server.by(&sender, Method::GET, "/metrics").send().await.unwrap().status(), 403);
    let (viewer, _) = server.token("prometheus", "viewer").await;
    let response = server.by(&viewer, Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    for line in [
        "# TYPE meshtrail_connections_refused_total counter\n",
        "meshtrail_connections_refused_total{port=\"console\",reason=\"share\"} 0\n",
        "meshtrail_connections_open{port=\"recorder\"} 0\n",
        "meshtrail_sessions_limit{port=\"recorder\"} 20000\n",
        "meshtrail_requests_open{port=\"console\"} ",
        "meshtrail_requests_failed_total{status=\"401\"} 2\n",
        "meshtrail_requests_failed_total{status=\"403\"} 1\n",
        "meshtrail_trail_accepting 1\n",
        "meshtrail_room_waiting{room=\"recordings\"} 0\n",
        "process_max_fds ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line:?} is missing in {text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_holds_many_answers_open_is_refused_and_the_others_of_that_address_are_not() {
    let folder = tempfile::tempdir().unwrap();
    // Of 4,096 requests this is five; all of this test comes from one address.
    let config = "[limits]\nper_peer = 0.001\n[limits.shares]\n\"127.0.0.1\" = 1\n";
    let server = TestServer::start(folder.path(), config).await;
    let (viewer, _) = server.token("watcher", "viewer").await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let follow = server.by(&viewer, Method::GET, "/api/v1/events/follow").send().await.unwrap();
        assert_eq!(follow.status(), 200);
        held.push(follow);
    }
    let refused = server.by(&viewer, Method::GET, "/api/v1/sessions").send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let body: serde_json::Value = refused.json().await.unwrap();
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("token:watcher holds 5 requests, which is one peer's share of 4096"),
        "{detail}"
    );
    server.get("/api/v1/sessions").await;
    assert_eq!(server.request(Method::GET, "/api/v1/health").send().await.unwrap().status(), 200);
    server.stop().await;
}
