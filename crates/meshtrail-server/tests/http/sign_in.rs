//! Signing in, tokens, and their audit entries.

use crate::test_server::{TestServer, json};
use reqwest::{Method, Response};

fn cookie(response: &Response) -> Option<String> {
    let set = response.headers().get("set-cookie")?.to_str().unwrap();
    let port = response.url().port().unwrap();
    assert!(set.starts_with(&format!("meshtrail-{port}=")), "{set}");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    Some(set.split(';').next().unwrap().to_owned())
}

fn path_of<'a>(server: &TestServer, url: &'a str) -> &'a str {
    url.strip_prefix(&server.url).unwrap()
}

#[tokio::test]
async fn a_one_time_link_signs_one_browser_in_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let link = path_of(&server, &server.link);
    let peek = server.request(Method::HEAD, link).send().await.unwrap();
    assert!(cookie(&peek).is_none(), "looking at a link does not use it");
    let first = server.request(Method::GET, link).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let cookie_value = cookie(&first).unwrap();
    let again = server.request(Method::GET, link).send().await.unwrap();
    assert_eq!(again.status(), 401);

    let who =
        server.request(Method::GET, "/api/v1/whoami").header("cookie", &cookie_value).send().await.unwrap();
    assert_eq!(json(who).await["role"], "admin");
    let foreign = server.request(Method::POST, "/sign-out").header("cookie", &cookie_value);
    let foreign = foreign.header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    let bare =
        server.request(Method::POST, "/sign-out").header("cookie", &cookie_value).send().await.unwrap();
    assert_eq!(bare.status(), 403, "a change that rests on a cookie needs an origin");
    let out = server.request(Method::POST, "/sign-out").header("cookie", &cookie_value);
    let out = out.header("origin", &server.url).send().await.unwrap();
    assert_eq!(out.status(), 303);
    let gone =
        server.request(Method::GET, "/api/v1/whoami").header("cookie", &cookie_value).send().await.unwrap();
    assert_eq!(gone.status(), 401);
    let written = server.get("/api/v1/events?q=kind:meshtrail.signed_*").await;
    let kinds: Vec<&str> =
        written["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["meshtrail.signed_out", "meshtrail.signed_in"]);
    assert_eq!(written["events"][1]["detail"]["method"], "link");
    server.stop().await;
}

#[tokio::test]
async fn a_foreign_name_in_host_gets_a_browser_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "names = [\"audit.example.com\"]").await;
    let sign_in = |host: &'static str| {
        let request = server.request(Method::POST, "/sign-in/token").header("host", host);
        request
            .header("origin", format!("http://{host}"))
            .form(&[("token", server.admin.as_str()), ("to", "/events")])
    };
    let rebound = sign_in("evil.example:7411").send().await.unwrap();
    assert_eq!(rebound.status(), 421);
    assert!(cookie(&rebound).is_none());
    let named = sign_in("audit.example.com").send().await.unwrap();
    assert_eq!((named.status().as_u16(), named.headers()["location"].to_str().unwrap()), (303, "/events"));
    assert!(cookie(&named).is_some());
    let token = server.by(&server.admin, Method::GET, "/api/v1/whoami").header("host", "anything.example");
    assert_eq!(token.send().await.unwrap().status(), 200, "no page can make a browser send a token");
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_signed_in_whom_the_mesh_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "[roles]\nadmin = [\"*\"]").await;
    let answer = server.request(Method::POST, "/sign-in/tailnet").header("origin", &server.url);
    let answer = answer.form(&[("to", "/sessions")]).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(cookie(&answer).is_none());
    server.stop().await;
}

#[tokio::test]
async fn whom_the_mesh_knows_gets_the_role_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (auditors, strangers) = (folder.path().join("a"), folder.path().join("b"));
    for folder in [&auditors, &strangers] {
        std::fs::create_dir(folder).unwrap();
        tokio::spawn(userspace_tailscaled(
            tokio::net::UnixListener::bind(folder.join("tailscaled.sock")).unwrap(),
        ));
    }
    let server = TestServer::start(&auditors, "[roles]\nauditor = [\"alice@example.com\"]").await;
    let answer = by_tailnet(&server).await;
    let cookie_value = cookie(&answer).unwrap();
    let who =
        server.request(Method::GET, "/api/v1/whoami").header("cookie", cookie_value).send().await.unwrap();
    let who = json(who).await;
    assert_eq!((who["name"].as_str(), who["role"].as_str()), (Some("alice@example.com"), Some("auditor")));
    let link = server.request(Method::GET, path_of(&server, &server.link)).send().await.unwrap();
    assert_eq!(link.status(), 403, "what tailscaled forwards comes from another machine");
    let written = server.get("/api/v1/events?q=kind:meshtrail.signed_in").await;
    assert_eq!(written["events"][0]["identity"]["provider"], "localapi");
    assert_eq!(written["events"][0]["actor"]["device"]["name"], "laptop.tail.example");
    server.stop().await;

    let server = TestServer::start(&strangers, "[roles]\nadmin = [\"bob@example.com\"]").await;
    let stranger = by_tailnet(&server).await;
    assert_eq!(stranger.status(), 403);
    assert!(cookie(&stranger).is_none());
    let written = server.get("/api/v1/events?q=kind:meshtrail.signed_in").await;
    assert_eq!(written["events"][0]["outcome"], "denied");
    assert_eq!(written["events"][0]["actor"]["person"]["login"], "alice@example.com");
    server.stop().await;
}

#[tokio::test]
async fn whoever_can_run_a_program_on_the_server_is_not_the_owner_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(folder.path().join("tailscaled.sock")).unwrap();
    let own = r#"{"Version":"1.102.5","TUN":false,"BackendState":"Running","TailscaleIPs":["100.64.0.7"],"Self":{"ID":"7"}}"#;
    tokio::spawn(tailscaled(listener, own));
    let server = TestServer::start(folder.path(), "[roles]\nadmin = [\"alice@example.com\"]").await;
    let answer = by_tailnet(&server).await;
    assert_eq!(answer.status(), 401);
    assert!(cookie(&answer).is_none());
    let page = answer.text().await.unwrap();
    assert!(page.contains("this machine itself") && page.contains("meshtrail sign-in"), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn a_request_with_two_hosts_or_none_is_refused_on_every_route() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    for path in ["/api/v1/health", "/sign-in", "/nowhere"] {
        for hosts in ["Host: 127.0.0.1\r\nHost: evil.example\r\n", "Host: a\r\nHost: a\r\n", ""] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            let answer = raw(&server, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path} with {hosts:?}: {answer}");
        }
    }
    let plain = raw(&server, "GET /api/v1/health HTTP/1.0\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.0 200 "), "HTTP/1.0 knows no host: {plain}");
    server.stop().await;
}

/// What the server answers to these bytes.
async fn raw(server: &TestServer, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn by_tailnet(server: &TestServer) -> Response {
    let request = server.request(Method::POST, "/sign-in/tailnet").header("origin", &server.url);
    request.form(&[("to", "/")]).send().await.unwrap()
}

/// A userspace tailscaled whose every connection is alice's.
async fn userspace_tailscaled(listener: tokio::net::UnixListener) {
    let own = r#"{"Version":"1.102.5","TUN":false,"BackendState":"Running","TailscaleIPs":["100.64.0.9"],"Self":{}}"#;
    tailscaled(listener, own).await;
}

/// Answers as a tailscaled with the status `own`, for which every connection is alice's. A real tailscaled is tested end
/// to end.
async fn tailscaled(listener: tokio::net::UnixListener, own: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut asked = [0; 4096];
        let read = stream.read(&mut asked).await.unwrap();
        let body = if String::from_utf8_lossy(&asked[..read]).contains("/whois") {
            r#"{"Node":{"ID":7,"StableID":"7","Name":"laptop.tail.example.","Addresses":["100.64.0.7/32"]},"UserProfile":{"ID":3,"LoginName":"alice@example.com","DisplayName":"Alice"}}"#
        } else {
            own
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        // A client that only checks the owner of the socket sends nothing and disconnects.
        let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
    }
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_each_change_is_written_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (secret, id) = server.token("ci", "viewer").await;
    let sign_in = server.request(Method::POST, "/sign-in/token").header("origin", &server.url);
    let cookie_value = cookie(&sign_in.form(&[("token", &secret)]).send().await.unwrap()).unwrap();
    let revoke =
        server.by(&server.admin, Method::DELETE, &format!("/api/v1/tokens/{id}")).send().await.unwrap();
    assert_eq!(json(revoke).await["name"], "ci");
    assert_eq!(server.by(&secret, Method::GET, "/api/v1/whoami").send().await.unwrap().status(), 401);
    let who =
        server.request(Method::GET, "/api/v1/whoami").header("cookie", cookie_value).send().await.unwrap();
    assert_eq!(who.status(), 401, "a browser that came in by the token is out with it");
    let again =
        server.by(&server.admin, Method::DELETE, &format!("/api/v1/tokens/{id}")).send().await.unwrap();
    assert_eq!(again.status(), 404);

    let written = server.get("/api/v1/events?q=kind:meshtrail.config_changed").await;
    let what: Vec<&str> = written["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["detail"]["what"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["token revoked", "token created with the role viewer"]);
    assert_eq!(written["events"][0]["target"]["id"], id.as_str());
    let stored = std::fs::read_to_string(folder.path().join("local/tokens.json")).unwrap();
    assert!(!stored.contains(&secret) && !stored.contains("mt_"));
    server.stop().await;
}

#[tokio::test]
async fn a_stranger_on_a_page_is_sent_to_sign_in_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let answer = server.request(Method::GET, "/api/v1/sessions").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["www-authenticate"].to_str().unwrap()),
        (401, "Bearer realm=\"meshtrail\"")
    );
    let page = server.request(Method::GET, "/sign-in").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    server.stop().await;
}
