//! The API over a real listener: authorisation, problems, pages, and exact leaves.

use crate::test_server::{TestServer, json, login, with_position};
use meshtrail_server::auth::{Capability, Role};
use meshtrail_server::routes;
use reqwest::Method;

#[tokio::test]
async fn every_route_lets_in_exactly_the_roles_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, server.token(&format!("a-{role}"), role.name()).await.0));
    }
    for route in routes::table() {
        let path = route
            .path
            .replace("{id}", if route.path.contains("sessions") { "20261120-main-1-1" } else { "x.1.1" })
            .replace("{index}", "main:0")
            .replace("{*path}", "0/000")
            .replace("{version}", "0")
            .replace("{*name}", "none");
        let stranger =
            server.request(route.method.clone(), &path).header("host", "localhost").send().await.unwrap();
        let turned_away = [401, 303, 403].contains(&stranger.status().as_u16());
        assert_eq!(
            !turned_away,
            route.needs == Capability::Open && route.method.is_safe(),
            "stranger: {} {path}: {}",
            route.method,
            stranger.status()
        );
        for (role, token) in &tokens {
            if route.path == "/sign-out" {
                continue;
            }
            let answer = server.by(token, route.method.clone(), &path).send().await.unwrap();
            let status = answer.status().as_u16();
            // A stream that is followed has no end to wait for.
            let endless =
                answer.headers().get("content-type").is_some_and(|media| media == "text/event-stream");
            let body = if endless { String::new() } else { answer.text().await.unwrap() };
            let refused = status == 401 || (status == 403 && body.contains("has the role"));
            assert_eq!(!refused, role.may(route.needs), "{role}: {} {path}: {status} {body}", route.method);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_an_id_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    for (path, status, field) in [
        ("/api/v1/events?lmit=3", 400, Some("lmit")),
        ("/api/v1/events?limit=0", 400, Some("limit")),
        ("/api/v1/events?limit=many", 400, Some("limit")),
        ("/api/v1/events?cursor=AAAA", 400, Some("cursor")),
        ("/api/v1/events?order=up", 400, Some("order")),
        ("/api/v1/events?q=acotr:x", 400, Some("q")),
        ("/api/v1/events/histogram?bars=0", 400, Some("bars")),
        ("/api/v1/events/histogram?by=colour", 400, Some("by")),
        ("/api/v1/events/histogram?q=acotr:x", 400, Some("q")),
        ("/api/v1/events/facets?top=9999", 400, Some("top")),
        ("/api/v1/events/complete?at=-1", 400, Some("at")),
        ("/api/v1/events/follow?q=%22", 400, Some("q")),
        ("/api/v1/events/follow?after=x", 400, Some("after")),
        ("/api/v1/events/follow?after=edge:0", 400, Some("after")),
        ("/api/v1/events/nonsense", 400, Some("id")),
        ("/api/v1/events/main.server.9.9", 404, None),
        ("/api/v1/sessions?state=dead", 400, Some("state")),
        ("/api/v1/sessions/..%2F..%2Fetc", 400, Some("id")),
        ("/api/v1/sessions/20261120-main-1-1", 404, None),
        ("/api/v1/sessions/20261120-main-1-1/recording", 404, None),
        ("/api/v1/sessions/20261120-main-1-1/cast?from=-1", 400, Some("from")),
        ("/api/v1/sessions/20261120-main-1-1/cast?from=NaN", 400, Some("from")),
        ("/api/v1/proof", 400, Some("query")),
        ("/api/v1/proof?index=0&from=1", 400, Some("query")),
        ("/api/v1/proof?index=99999", 400, Some("index")),
        ("/api/v1/proof?index=main:99999", 400, Some("index")),
        ("/api/v1/proof?index=edge:0", 400, Some("index")),
        ("/api/v1/proof?from=99999", 400, Some("from")),
        ("/api/v1/proof?from=edge:1", 400, Some("from")),
        ("/api/v1/proof?index=0&size=99999", 400, Some("size")),
        ("/api/v1/trail/tile/0/zzz", 400, Some("path")),
        ("/api/v1/nothing", 404, None),
    ] {
        let answer = server.by(&server.admin, Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let problem = json(answer).await;
        assert_eq!(problem["field"].as_str(), field, "{path}: {problem}");
        assert_eq!(
            (problem["status"].as_u64(), problem["id"].as_str()),
            (Some(u64::from(status)), Some(id.as_str())),
            "{path}"
        );
        assert!(problem["type"].as_str().unwrap().starts_with("urn:meshtrail:problem:"), "{problem}");
    }
    let wrong_method = server.by(&server.admin, Method::PUT, "/api/v1/events").send().await.unwrap();
    assert_eq!(wrong_method.status(), 405);
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (sender, _) = server.token("agent-1", "sender").await;
    let send = |kind: &'static str, body: Vec<u8>| {
        server.by(&sender, Method::POST, "/api/v1/events").header("content-type", kind).body(body).send()
    };
    let huge = send("application/x-ndjson", vec![b'x'; 17 << 20]).await.unwrap();
    assert_eq!(huge.status(), 413);
    let text = send("text/plain", b"[]".to_vec()).await.unwrap();
    assert_eq!(text.status(), 415);
    let half = send("application/json", b"[{\"id\":".to_vec()).await.unwrap();
    assert_eq!((half.status().as_u16(), json(half).await["field"].as_str()), (400, Some("body")));
    let invalid = send("application/x-ndjson", b"\xff\xfe{}".to_vec()).await.unwrap();
    assert_eq!((invalid.status().as_u16(), json(invalid).await["field"].as_str()), (400, Some("[0]")));
    let mixed = format!("{}\n{}", login("agent-1", 1, "a"), "{\"id\":\"agent-1.1.2\"}");
    assert_eq!(send("application/x-ndjson", mixed.into_bytes()).await.unwrap().status(), 400);
    let nothing = server.get("/api/v1/events?q=kind:ssh.login").await;
    assert_eq!(nothing["events"].as_array().unwrap().len(), 0, "one bad event refuses all");

    let token = server.by(&server.admin, Method::POST, "/api/v1/tokens");
    let unknown =
        token.json(&serde_json::json!({"name": "x", "role": "viewer", "admin": true})).send().await.unwrap();
    assert_eq!((unknown.status().as_u16(), json(unknown).await["field"].as_str()), (400, Some("admin")));
    server.stop().await;
}

#[tokio::test]
async fn sending_again_counts_once_and_leaves_come_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    server.send_logins("agent-1", 3).await;
    let (sender, _) = server.token("agent-1", "sender").await;
    let body = format!(
        "[{},{}]",
        login("agent-1", 3, "alice@example.com"),
        login("agent-1", 4, "ü\u{202e}\u{1b}[2J")
    );
    let request =
        server.by(&sender, Method::POST, "/api/v1/events").header("content-type", "application/json");
    let taken = json(request.body(body).send().await.unwrap()).await;
    assert_eq!((taken["accepted"].as_u64(), taken["duplicates"].as_u64()), (Some(1), Some(1)));

    let shown = server.by(&server.admin, Method::GET, "/api/v1/events/agent-1.1.4").send().await.unwrap();
    let index: u64 = shown.headers()["meshtrail-index"].to_str().unwrap().parse().unwrap();
    let leaf = shown.bytes().await.unwrap();
    let event = meshtrail_event::Event::from_json(&leaf).unwrap();
    assert_eq!(event.to_leaf(), leaf, "what is shown is canonical");

    let listed = server
        .by(&server.admin, Method::GET, "/api/v1/events?q=kind:ssh.login&limit=1")
        .send()
        .await
        .unwrap();
    let text = listed.text().await.unwrap();
    assert!(text.contains(std::str::from_utf8(&leaf).unwrap()), "a list holds the same bytes");

    let proof = server.get(&format!("/api/v1/proof?index={index}")).await;
    assert_eq!(proof["event_id"], "agent-1.1.4");
    assert_eq!(proof["leaf_hash"], meshtrail_trail::tree::leaf_hash(&leaf).to_string());
    let proof: meshtrail_trail::tree::InclusionProof = serde_json::from_value(proof).unwrap();
    meshtrail_trail::tree::verify_inclusion(&proof).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn pages_follow_on_each_other_without_gap_or_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    server.send_logins("agent-1", 25).await;
    for order in ["newest", "oldest"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/events?q=kind:ssh.login&limit=10&order={order}{cursor}");
            let page = server.get(&path).await;
            for (event, index) in
                page["events"].as_array().unwrap().iter().zip(page["indexes"].as_array().unwrap())
            {
                seen.push((event["id"].as_str().unwrap().to_owned(), index.as_u64().unwrap()));
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort_by_key(|(_, index)| *index);
        if order == "newest" {
            sorted.reverse();
        }
        assert_eq!((seen.len(), &seen), (25, &sorted), "{order}");
        let elsewhere = format!("/api/v1/events?q=kind:flow.*&order={order}{cursor}");
        let refused = server.by(&server.admin, Method::GET, &elsewhere).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), json(refused).await["field"].as_str()), (400, Some("cursor")));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_position_names_its_trail_and_a_bare_index_is_in_the_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    server.send_logins("agent-1", 3).await;
    let shown = server.by(&server.admin, Method::GET, "/api/v1/events/agent-1.1.2").send().await.unwrap();
    let index = shown.headers()["meshtrail-index"].to_str().unwrap().to_owned();
    let position = shown.headers()["meshtrail-position"].to_str().unwrap().to_owned();
    assert_eq!(position, format!("main:{index}"));
    let listed = server.get("/api/v1/events?q=id:agent-1.1.2").await;
    assert_eq!(listed["positions"], serde_json::json!([position]));

    for place in [&position, &index] {
        let proof = server.get(&format!("/api/v1/proof?index={place}")).await;
        assert_eq!(proof["event_id"], "agent-1.1.2", "{place}");
        assert_eq!(proof["position"].as_str(), Some(position.as_str()), "{place}");
    }
    let consistency = server.get("/api/v1/proof?from=main:1&to=2").await;
    assert_eq!(consistency, server.get("/api/v1/proof?from=1&to=2").await);
    for place in [&position, &index] {
        let at = server.by(&server.admin, Method::GET, &format!("/events/at/{place}")).send().await.unwrap();
        assert_eq!(at.headers()["location"], "/events/agent-1.1.2", "{place}");
    }
    let missing = server.by(&server.admin, Method::GET, "/events/at/edge:0").send().await.unwrap();
    assert_eq!(missing.status(), 404);
    let text = missing.text().await.unwrap();
    assert!(text.contains("There is no trail edge here") && text.contains("<bdi>index</bdi>"), "{text}");
    let refused = server.by(&server.admin, Method::GET, "/api/v1/proof?index=edge:0").send().await.unwrap();
    let problem = json(refused).await;
    assert_eq!(problem["detail"], "there is no trail edge here; the trail here is main");
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_that_was_given_out_before_positions_goes_on_and_one_of_another_trail_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    server.send_logins("agent-1", 3).await;
    let list = "/api/v1/events?q=kind:ssh.login&limit=1";
    let next = server.get(list).await["next"].as_str().unwrap().to_owned();
    let page = server.get(&format!("{list}&cursor={next}")).await;
    assert_eq!(page["events"][0]["id"], "agent-1.1.2");
    let before = with_position(&next, "main:", "");
    assert_eq!(server.get(&format!("{list}&cursor={before}")).await, page);

    let foreign = format!("{list}&cursor={}", with_position(&next, "main:", "edge:"));
    let refused = server.by(&server.admin, Method::GET, &foreign).send().await.unwrap();
    let problem = json(refused).await;
    assert_eq!((problem["status"].as_u64(), problem["field"].as_str()), (Some(400), Some("cursor")));
    assert!(problem["detail"].as_str().unwrap().contains("no trail edge here"), "{problem}");
    server.stop().await;
}

#[tokio::test]
async fn the_trail_is_read_as_any_c2sp_client_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    server.send_logins("agent-1", 5).await;
    let note = server.by(&server.admin, Method::GET, "/api/v1/trail/checkpoint").send().await.unwrap();
    assert!(note.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let note = note.text().await.unwrap();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    assert!(size >= 6);
    let tile = server.by(&server.admin, Method::GET, &format!("/api/v1/trail/tile/0/000.p/{size}"));
    let tile = tile.send().await.unwrap().bytes().await.unwrap();
    let leaf = server.by(&server.admin, Method::GET, "/api/v1/events/agent-1.1.5").send().await.unwrap();
    let index: usize = leaf.headers()["meshtrail-index"].to_str().unwrap().parse().unwrap();
    let hash = meshtrail_trail::tree::leaf_hash(&leaf.bytes().await.unwrap());
    assert_eq!(&tile[index * 32..index * 32 + 32], hash.as_bytes());
    let accepts = server.by(&server.admin, Method::GET, "/api/v1/checkpoint").header("accept", "text/plain");
    assert!(accepts.send().await.unwrap().text().await.unwrap().contains('\n'));
    server.stop().await;
}
