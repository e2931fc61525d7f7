//! The states of sources, over HTTP.

use serde_json::Value;

use crate::test_server::TestServer;

async fn source(server: &TestServer, name: &str) -> Option<Value> {
    let answer = server.get("/api/v1/sources").await;
    answer["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).cloned()
}

#[tokio::test]
async fn a_sender_is_a_source_and_is_remembered_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    assert_eq!(source(&server, "agent-1").await, None);
    server.send_logins("agent-1", 3).await;
    let agent = source(&server, "agent-1").await.unwrap();
    assert_eq!(
        (&agent["state"], &agent["events"], &agent["gaps"]),
        (&"connected".into(), &3.into(), &0.into())
    );
    server.stop().await;

    let server = TestServer::start(folder.path(), "").await;
    let remembered = loop {
        if let Some(agent) = source(&server, "agent-1").await {
            break agent;
        }
    };
    assert_eq!((&remembered["state"], &remembered["events"]), (&"connected".into(), &0.into()));
    assert!(remembered["last_heard"].is_string(), "{remembered}");
    server.stop().await;
}
