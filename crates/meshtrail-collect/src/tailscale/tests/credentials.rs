//! Credentials, and the messages about refused ones.

use std::time::Duration;

use tailscale_api_stand_in::{API_KEY, CLIENT_ID, CLIENT_SECRET, InjectedFault};

use super::{Scene, now};
use crate::poll::Poller as _;

#[tokio::test]
async fn an_oauth_clients_token_is_held_renewed_early_and_made_anew_when_refused() {
    let scene = Scene::new().await;
    let secret = scene.folder.path().join("oauth.key");
    std::fs::write(&secret, CLIENT_SECRET).unwrap();
    let run = scene
        .run_with(&format!(r#","oauth_client_id":"{CLIENT_ID}","oauth_secret_file":"{}""#, secret.display()))
        .await;
    let mut poller = run.audit();
    for _ in 0..3 {
        poller.poll(now()).await;
    }
    assert_eq!(scene.api.world().tokens, 1, "every token made is noise in the log that is read");
    poller.poll(now().after(Duration::from_secs(3_400))).await;
    assert_eq!(scene.api.world().tokens, 2, "it is renewed before it ends");
    scene.api.world().revoked_tokens = 2;
    poller.poll(now().after(Duration::from_secs(3_500))).await;
    assert_eq!(scene.api.world().tokens, 3);
    assert_eq!(run.report("tailscale.audit").trouble, None);
}

#[tokio::test]
async fn a_refused_oauth_client_is_said_by_its_keys() {
    let scene = Scene::new().await;
    let secret = scene.folder.path().join("oauth.key");
    std::fs::write(&secret, "tskey-client-wrong").unwrap();
    let run = scene
        .run_with(&format!(r#","oauth_client_id":"{CLIENT_ID}","oauth_secret_file":"{}""#, secret.display()))
        .await;
    let wait = run.audit().poll(now()).await;
    assert!(wait >= Duration::from_secs(300), "asking often does not help: {wait:?}");
    let trouble = run.report("tailscale.audit").trouble.unwrap();
    assert!(trouble.contains("oauth_client_id") && !trouble.contains("wrong"), "{trouble}");
}

#[tokio::test]
async fn a_new_key_in_the_file_is_taken_without_a_restart() {
    let scene = Scene::new().await;
    std::fs::write(scene.key_file(), "tskey-api-old").unwrap();
    let run = scene.run().await;
    let mut poller = run.audit();
    poller.poll(now()).await;
    let trouble = run.report("tailscale.audit").trouble.unwrap();
    assert!(trouble.contains("90 days") && trouble.contains("api.key"), "{trouble}");
    std::fs::write(scene.key_file(), API_KEY).unwrap();
    poller.poll(now()).await;
    assert_eq!(run.report("tailscale.audit").trouble, None);
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let scene = Scene::new().await;
    let run = scene.run().await;
    for (path, scope) in
        [("logging/configuration", "logs:configuration:read"), ("logging/network", "logs:network:read")]
    {
        scene.api.world().inject(path, InjectedFault::Status(403, None));
        let name = if path.ends_with("network") {
            run.flows().poll(now()).await;
            "tailscale.flow"
        } else {
            run.audit().poll(now()).await;
            "tailscale.audit"
        };
        let trouble = run.report(name).trouble.unwrap();
        assert!(trouble.contains(scope), "{trouble}");
    }
}
