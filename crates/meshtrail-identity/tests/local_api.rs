//! The LocalAPI client and the resolver against a stand-in that misbehaves in each way that a server can.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stand_in;

use std::net::SocketAddr;
use std::time::Duration;

use meshtrail_event::{Claim, IdentityStatus};
use meshtrail_identity::{
    ClaimCheck, Connection, DirectoryFile, LocalApi, LocalApiError, OwnNode, Peers, Provider, QueryScope,
    ResolutionStatus, Resolver, ResolverConfig, Unresolved,
};
use stand_in::{Answer, LocalApiStandIn, QueryBarrier, RUNNING};

const ALICE: &str = r#"{"Node":{"ID":7,"StableID":"n7","Name":"laptop.tail.example.","User":3,
    "Addresses":["100.64.0.7/32","fd7a:115c:a1e0::7/128"],"Hostinfo":{"OS":"macOS"},"Later":[]},
    "UserProfile":{"ID":3,"LoginName":"alice@example.com","DisplayName":"Alice","Groups":["group:sre"]},"CapMap":null}"#;

const TAGGED: &str = r#"{"Node":{"StableID":"n8","Name":"web.tail.example.","Tags":["tag:prod"],
    "Addresses":["100.64.0.8/32"],"Hostinfo":null},
    "UserProfile":{"ID":2147455555,"LoginName":"tagged-devices","DisplayName":"Tagged Devices"}}"#;

const STATUS: &str = r#"{"BackendState":"Running","TUN":true,"TailscaleIPs":["100.64.0.9"],
    "Self":{"ID":"n9","DNSName":"rec.tail.example.","UserID":3,"TailscaleIPs":["100.64.0.9"],"Tags":["tag:recorder"]},
    "Peer":{"nodekey:aa":{"ID":"n7","DNSName":"laptop.tail.example.","UserID":3,"TailscaleIPs":["100.64.0.7"]},
            "nodekey:bb":{"ID":"n8","DNSName":"web.tail.example.","UserID":9,"Tags":["tag:prod"]}},
    "User":{"3":{"ID":3,"LoginName":"alice@example.com","DisplayName":"Alice"}}}"#;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

fn ok(body: &str) -> Answer {
    Answer::Whole("200 OK", body.to_owned())
}

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn laptop() -> SocketAddr {
    peer("100.64.0.7:51000")
}

/// A connection of which only the peer is known.
fn from(peer: SocketAddr) -> Connection {
    Connection::from_peer(peer)
}

fn between(peer: &str, local: &str) -> Connection {
    Connection { peer: peer.parse().unwrap(), local: Some(local.parse().unwrap()) }
}

/// The status of a node whose tailscaled has no network interface.
fn userspace() -> Answer {
    ok(&RUNNING.replace("\"TUN\":true", "\"TUN\":false"))
}

/// Longer than any answer takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// A resolver that waits for the stand-in, and caches its answers.
fn patient(stand_in: &LocalApiStandIn) -> ResolverConfig {
    ResolverConfig {
        socket: Some(stand_in.socket()),
        timeout: PATIENCE,
        total_timeout: PATIENCE,
        known_ttl: PATIENCE,
        ..ResolverConfig::default()
    }
}

fn resolver(stand_in: &LocalApiStandIn) -> Resolver {
    Resolver::start(patient(stand_in))
}

fn directory(stand_in: &LocalApiStandIn, text: &str) -> DirectoryFile {
    let path = stand_in.folder().join("directory.toml");
    std::fs::write(&path, text).unwrap();
    DirectoryFile::open_with_interval(path, Duration::from_millis(5)).unwrap()
}

/// Replaces the file by one with this text, atomically.
fn replace(file: &DirectoryFile, text: &str) {
    let new = file.path().with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file.path()).unwrap();
}

#[tokio::test]
async fn a_persons_device_resolves_to_the_person() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(ok(ALICE));
    let found = resolver(&stand_in).who(from(laptop())).await;

    assert_eq!((found.login(), found.groups()), (Some("alice@example.com"), &["group:sre".to_owned()][..]));
    let device = found.device.clone().unwrap();
    assert_eq!(device.name.as_deref(), Some("laptop.tail.example"));
    assert_eq!((device.id.as_deref(), device.os.as_deref()), (Some("n7"), Some("macOS")));
    assert_eq!(device.addresses, ["100.64.0.7", "fd7a:115c:a1e0::7"]);
    assert_eq!(found.identity().status, IdentityStatus::Resolved);
    assert_eq!(found.identity().provider.as_deref(), Some("localapi"));

    let question = stand_in.questions("whois").remove(0);
    assert!(
        question.starts_with("GET /localapi/v0/whois?proto=tcp&addr=100.64.0.7:51000 HTTP/1.1\r\n"),
        "{question}"
    );
    assert!(question.to_lowercase().contains("host: local-tailscaled.sock\r\n"), "{question}");
    assert!(!question.to_lowercase().contains("origin") && !question.to_lowercase().contains("referer"));
}

#[tokio::test]
async fn a_tagged_device_resolves_to_its_tags_and_to_no_person() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(ok(TAGGED));
    let found = resolver(&stand_in).who(from(peer("100.64.0.8:1"))).await;
    assert_eq!((found.login(), found.tags()), (None, &["tag:prod".to_owned()][..]));
    assert!(found.is_certain());
}

#[tokio::test]
async fn a_device_whose_owner_is_not_told_is_known_and_its_actor_is_not() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(ok(r#"{"Node":{"StableID":"n7","Name":"laptop.tail.example."}}"#));
    let found = resolver(&stand_in).who(from(laptop())).await;
    assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::NoOwner });
    assert!(found.actor.is_none() && found.device.is_some());
}

#[tokio::test]
async fn an_address_tailscaled_does_not_know_is_unresolved() {
    let stand_in = LocalApiStandIn::start();
    let found = resolver(&stand_in).who(from(laptop())).await;
    assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::Unknown });
    assert_eq!((found.actor, found.device, found.provider), (None, None, None));
}

#[tokio::test]
async fn each_way_an_answer_can_be_bad_has_its_own_error() {
    let stand_in = LocalApiStandIn::start();
    let within = async |timeout: Duration, answer: Answer| {
        stand_in.whois_answers(answer);
        LocalApi::new(stand_in.socket()).with_timeout(timeout).whois(laptop()).await.unwrap_err()
    };
    let ask = async |answer: Answer| within(PATIENCE, answer).await;
    let hurried = async |answer: Answer| within(Duration::from_millis(50), answer).await;
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Node\":".to_vec();
    assert!(matches!(ask(Answer::Raw(cut)).await, LocalApiError::Body { .. }));
    assert!(matches!(ask(Answer::Raw(b"SSH-2.0-x\r\n".to_vec())).await, LocalApiError::Transport { .. }));
    assert!(matches!(ask(Answer::Raw(Vec::new())).await, LocalApiError::Transport { .. }));
    assert!(matches!(ask(Answer::Huge(2 << 20)).await, LocalApiError::TooLong { limit: 0x10_0000, .. }));
    assert!(matches!(hurried(Answer::Stalls).await, LocalApiError::Timeout { .. }));
    assert!(matches!(hurried(Answer::Silent).await, LocalApiError::Timeout { .. }));
    for body in ["", "hello", "[]", "null", r#"{"Node":7}"#, r#"{"Node":{"Tags":"x"}}"#, "{\"Node\":{}}{"] {
        assert!(matches!(ask(ok(body)).await, LocalApiError::Json { .. }), "{body}");
    }
    let refused = ask(Answer::Whole("403 Forbidden", "invalid\x1b[31m localapi request\n".to_owned())).await;
    assert_eq!(refused.to_string(), "tailscaled refused whois: 403 Forbidden invalid [31m localapi request");
    let gone = LocalApi::new(stand_in.folder().join("none.sock")).status(Peers::Skipped).await.unwrap_err();
    assert!(matches!(gone, LocalApiError::Connect { .. }));
}

#[tokio::test]
async fn a_failing_tailscaled_leaves_the_address_unresolved_and_says_why() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(Answer::Whole("403 Forbidden", "read access denied".to_owned()));
    let identity = resolver(&stand_in).who(from(laptop())).await.identity();
    assert_eq!(identity.status, IdentityStatus::Unresolved);
    let reason = "tailscaled could not be asked: tailscaled refused whois: 403 Forbidden read access denied";
    assert_eq!(identity.reason.as_deref(), Some(reason));
}

#[tokio::test]
async fn tailscaled_is_not_asked_about_addresses_outside_the_mesh_unless_told_to() {
    let stand_in = LocalApiStandIn::start();
    let stranger = peer("192.0.2.7:443");
    let found = resolver(&stand_in).who(from(stranger)).await;
    assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::Outside });
    assert!(stand_in.questions("whois").is_empty());

    let told = ResolverConfig { query_scope: QueryScope::Anything, ..patient(&stand_in) };
    Resolver::start(told).who(from(stranger)).await;
    assert_eq!(stand_in.questions("addr=192.0.2.7:443").len(), 1);
}

#[tokio::test]
async fn one_address_is_asked_about_once_for_many_connections() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(ok(ALICE));
    let resolver = resolver(&stand_in);
    let mapped = from(peer("[::ffff:100.64.0.7]:52000"));
    let (a, b) = tokio::join!(resolver.who(from(laptop())), resolver.who(mapped));
    assert_eq!((a.as_of, a.login()), (b.as_of, b.login()));
    assert_eq!(stand_in.questions("whois").len(), 1);
}

#[tokio::test]
async fn a_loopback_port_of_a_userspace_node_is_asked_about_each_time() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(userspace());
    stand_in.whois_answers(ok(ALICE));
    let resolver = resolver(&stand_in);
    let forwarded = between("127.0.0.1:40001", "127.0.0.1:80");
    assert_eq!(resolver.who(forwarded).await.login(), Some("alice@example.com"));
    assert_eq!(resolver.who(forwarded).await.login(), Some("alice@example.com"));
    assert_eq!(stand_in.questions("addr=127.0.0.1:40001").len(), 2);
}

#[tokio::test]
async fn a_loopback_connection_of_the_user_that_tailscaled_runs_as_is_left_to_it() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(userspace());
    stand_in.whois_answers(ok(ALICE));
    let api = LocalApi::new(stand_in.socket());
    let us = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    assert_eq!(api.daemon_uid().await.unwrap(), us);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let connection =
        Connection { peer: far.local_addr().unwrap(), local: Some(listener.local_addr().unwrap()) };
    assert_eq!(resolver(&stand_in).who(connection).await.login(), Some("alice@example.com"));
}

#[tokio::test]
async fn without_an_interface_a_peer_with_an_address_of_the_mesh_is_nobody() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(userspace());
    stand_in.whois_answers(ok(ALICE));
    let directory = directory(
        &stand_in,
        "[[people]]\nlogin=\"alice@example.com\"\n[[devices]]\nname=\"laptop\"\naddresses=[\"100.64.0.7\"]\n\
         owner=\"alice@example.com\"",
    );
    let config = ResolverConfig {
        socket: Some(stand_in.socket()),
        directory: Some(directory),
        ..ResolverConfig::default()
    };
    let resolver = Resolver::start(config);
    for connection in [from(laptop()), between("100.64.0.7:51000", "192.168.1.2:7411")] {
        let found = resolver.who(connection).await;
        assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::AroundTheMesh });
        assert_eq!((found.actor, found.device), (None, None));
    }
    assert!(stand_in.questions("whois").is_empty());
}

#[tokio::test]
async fn with_an_interface_a_peer_is_known_where_the_connection_is_to_the_nodes_own_address() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(ok(ALICE));
    let resolver = resolver(&stand_in);
    let by_the_mesh = resolver.who(between("100.64.0.7:51000", "[::ffff:100.64.0.9]:7411")).await;
    assert_eq!(by_the_mesh.login(), Some("alice@example.com"));
    let around_it = resolver.who(between("100.64.0.7:51000", "192.168.1.2:7411")).await;
    assert_eq!(around_it.status, ResolutionStatus::Unresolved { why: Unresolved::AroundTheMesh });
    assert!(around_it.actor.is_none() && !around_it.is_certain());
}

#[tokio::test]
async fn a_connection_of_the_node_itself_tells_the_device_and_no_person() {
    let stand_in = LocalApiStandIn::start();
    let own = ALICE.replace("\"n7\"", "\"n9\"").replace("100.64.0.7", "100.64.0.9");
    stand_in.whois_answers(ok(&own));
    let by_address = resolver(&stand_in);
    let found = by_address.who(between("100.64.0.9:51000", "100.64.0.9:7411")).await;
    assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::OwnMachine });
    assert!(found.actor.is_none() && found.device.is_some() && !found.is_certain());
    let holder = by_address.holder(peer("100.64.0.9:0").ip()).await;
    assert_eq!(holder.login(), Some("alice@example.com"), "whose the address is can be asked all the same");

    // A userspace tailscaled forwards connections that a local program opened through its proxy.
    stand_in.status_answers(userspace());
    let found = resolver(&stand_in).who(between("127.0.0.1:40001", "127.0.0.1:7411")).await;
    assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::OwnMachine });
    assert!(found.actor.is_none() && found.device.is_some());
}

#[tokio::test]
async fn while_tailscaled_has_not_told_how_the_mesh_comes_nobody_is_believed() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(ok(ALICE));
    let refused = Answer::Whole("500 Internal Server Error", String::new());
    for (status, total_timeout, why) in [
        (Answer::Silent, Duration::from_millis(50), "it has not told of this node yet"),
        (ok(r#"{"BackendState":"NeedsLogin","TUN":true}"#), LONG, "this node is not up: NeedsLogin"),
        (refused, LONG, "tailscaled refused status"),
    ] {
        stand_in.status_answers(status);
        let timeout = LONG;
        let config =
            ResolverConfig { socket: Some(stand_in.socket()), timeout, total_timeout, ..Default::default() };
        let found = Resolver::start(config).who(from(laptop())).await;
        let reason = found.identity().reason.unwrap();
        assert!(reason.starts_with("tailscaled could not be asked: ") && reason.contains(why), "{reason}");
        assert!(found.actor.is_none());
    }
    assert!(stand_in.questions("whois").is_empty());
}

#[tokio::test]
async fn loopback_peers_of_a_node_with_an_interface_are_none_of_the_mesh() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(ok(STATUS));
    let resolver = resolver(&stand_in);
    let mut own = resolver.own_node();
    own.wait_for(|node| matches!(node, OwnNode::Running { .. })).await.unwrap();
    let found = resolver.who(from(peer("127.0.0.1:40001"))).await;
    assert_eq!(found.status, ResolutionStatus::Unresolved { why: Unresolved::Outside });
    assert!(stand_in.questions("whois").is_empty());
}

#[tokio::test]
async fn a_hanging_tailscaled_holds_nobody_up_for_longer_than_the_patience() {
    let stand_in = LocalApiStandIn::start();
    stand_in.whois_answers(Answer::Silent);
    let (timeout, total_timeout) = (Duration::from_secs(60), Duration::from_millis(50));
    let config =
        ResolverConfig { socket: Some(stand_in.socket()), timeout, total_timeout, ..Default::default() };
    let resolver = Resolver::start(config);
    // A request that times out leaves its permit to the next: the number of queries depends on which are still waiting.
    let peers = (0..100).map(|host| SocketAddr::from(([100, 64, 1, host], 1)));
    let mut asked = tokio::task::JoinSet::new();
    for peer in peers {
        let resolver = resolver.clone();
        asked.spawn(async move { resolver.who(from(peer)).await });
    }
    while let Some(found) = asked.join_next().await {
        assert!(matches!(
            found.unwrap().status,
            ResolutionStatus::Unresolved { why: Unresolved::Failed { .. } }
        ));
    }
}

#[tokio::test]
async fn tailscaled_has_so_many_questions_at_once_and_the_others_wait_their_turn() {
    let stand_in = LocalApiStandIn::start();
    let barrier = QueryBarrier::new(16, 100);
    stand_in.whois_answers(Answer::AtBarrier(barrier.clone(), ALICE.to_owned()));
    let hour = Duration::from_secs(3_600);
    let config = ResolverConfig {
        socket: Some(stand_in.socket()),
        timeout: hour,
        total_timeout: hour,
        ..Default::default()
    };
    let resolver = Resolver::start(config);
    let mut asked = tokio::task::JoinSet::new();
    for host in 0..100 {
        let resolver = resolver.clone();
        asked.spawn(async move { resolver.who(from(SocketAddr::from(([100, 64, 1, host], 1)))).await });
    }
    while let Some(found) = asked.join_next().await {
        assert_eq!(found.unwrap().login(), Some("alice@example.com"));
    }
    assert_eq!((barrier.most(), stand_in.questions("whois").len()), (16, 100));
}

#[tokio::test]
async fn the_directory_answers_where_tailscaled_does_not_know_and_adds_groups_where_it_does() {
    let stand_in = LocalApiStandIn::start();
    let directory = directory(
        &stand_in,
        "[[people]]\nlogin=\"bob@example.com\"\n[[devices]]\nname=\"pc\"\naddresses=[\"10.8.0.2\"]\n\
         owner=\"bob@example.com\"\n[groups]\nops=[\"alice@example.com\",\"bob@example.com\"]",
    );
    stand_in.whois_answers(ok(ALICE));
    let resolver = Resolver::start(ResolverConfig { directory: Some(directory), ..patient(&stand_in) });
    let bob = resolver.who(from(peer("10.8.0.2:9"))).await;
    assert_eq!((bob.login(), bob.provider), (Some("bob@example.com"), Some(Provider::Directory)));
    assert_eq!(bob.groups(), ["group:ops"]);
    assert_eq!(resolver.who(from(laptop())).await.groups(), ["group:ops", "group:sre"]);
}

#[tokio::test]
async fn providers_that_disagree_make_the_address_conflicting_and_both_are_named() {
    let stand_in = LocalApiStandIn::start();
    let directory = directory(
        &stand_in,
        "[[people]]\nlogin=\"bob@example.com\"\n[[devices]]\nname=\"pc\"\naddresses=[\"100.64.0.7\"]\n\
         owner=\"bob@example.com\"",
    );
    stand_in.whois_answers(ok(ALICE));
    let config = ResolverConfig { directory: Some(directory), ..patient(&stand_in) };
    let found = Resolver::start(config).who(from(laptop())).await;
    assert!(!found.is_certain());
    let identity = found.identity();
    assert_eq!(identity.status, IdentityStatus::Conflicting);
    let reason = "providers disagree: login: alice@example.com against bob@example.com";
    assert_eq!(identity.reason.as_deref(), Some(reason));
}

#[tokio::test]
async fn a_claim_is_checked_against_the_devices_that_tailscaled_knows() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(ok(STATUS));
    let resolver = resolver(&stand_in);
    let claim = |node_id: &str, login: Option<&str>, tags: &[&str]| Claim {
        node_id: Some(node_id.to_owned()),
        login: login.map(str::to_owned),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        node: None,
    };
    let agrees = resolver.claim(&claim("n7", Some("alice@example.com"), &[])).await;
    assert!(matches!(agrees, ClaimCheck::Agrees { provider: Provider::LocalApi, .. }), "{agrees:?}");
    let tagged = resolver.claim(&claim("n8", None, &["tag:prod"])).await;
    assert!(matches!(tagged, ClaimCheck::Agrees { .. }), "{tagged:?}");
    let ClaimCheck::Conflicts { what, .. } =
        resolver.claim(&claim("n8", Some("alice@example.com"), &[])).await
    else {
        panic!("a person claimed on a tagged device must conflict");
    };
    assert_eq!(what.iter().map(|one| one.what).collect::<Vec<_>>(), ["login", "tags"]);
    let unknown = resolver.claim(&claim("n99", Some("alice@example.com"), &[])).await;
    assert!(matches!(unknown, ClaimCheck::Unknown { .. }), "{unknown:?}");
    assert_eq!(stand_in.questions("/status HTTP").len(), 1, "one listing serves many checks");
}

#[tokio::test]
async fn a_confirmed_claim_brings_the_groups_of_the_directory() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(ok(STATUS));
    let directory = directory(&stand_in, "[groups]\nops=[\"alice@example.com\"]");
    let config = ResolverConfig { directory: Some(directory), ..patient(&stand_in) };
    let claim = Claim { node_id: Some("n7".to_owned()), ..Claim::default() };
    let ClaimCheck::Agrees { subject, .. } = Resolver::start(config).claim(&claim).await else {
        panic!("tailscaled knows this device");
    };
    assert_eq!(subject.actor().person.unwrap().groups, ["group:ops"]);
}

#[tokio::test]
async fn own_addresses_appear_change_and_outlive_an_outage() {
    let stand_in = LocalApiStandIn::start();
    stand_in.status_answers(ok(r#"{"BackendState":"NoState"}"#));
    let resolver =
        Resolver::start(ResolverConfig { poll_interval: Duration::from_millis(5), ..patient(&stand_in) });
    let mut addresses = resolver.own_addresses();
    assert!(addresses.borrow().is_empty());
    stand_in.status_answers(ok(STATUS));
    assert_eq!(*addresses.wait_for(|known| !known.is_empty()).await.unwrap(), [peer("100.64.0.9:0").ip()]);

    stand_in.status_answers(Answer::Whole("500 Internal Server Error", String::new()));
    let mut node = resolver.own_node();
    node.wait_for(|node| matches!(node, OwnNode::Unreachable { .. })).await.unwrap();
    assert_eq!(*addresses.borrow_and_update(), [peer("100.64.0.9:0").ip()]);

    stand_in.status_answers(ok(&STATUS.replace("\"TUN\":true", "\"TUN\":false")));
    addresses.changed().await.unwrap();
    assert_eq!(*addresses.borrow(), [peer("127.0.0.1:0").ip()]);
}

#[tokio::test]
async fn a_changed_directory_file_is_taken_and_a_bad_one_is_not() {
    let stand_in = LocalApiStandIn::start();
    let file = directory(&stand_in, "[groups]\nops=[\"a@b\"]");
    let mut state = file.subscribe();
    replace(&file, "[groups]\nops=[\"a@b\"]\ndev=[\"a@b\"]");
    state.wait_for(|state| state.reloads == 1).await.unwrap();
    assert_eq!(file.current().counts(), (0, 0, 2));

    replace(&file, "[groups]\nops=7");
    let problem = state.wait_for(|state| state.problem.is_some()).await.unwrap().problem.clone().unwrap();
    assert_eq!(problem.to_string(), "directory: groups.ops: must be a list, not a number");
    assert_eq!(file.current().counts(), (0, 0, 2));

    std::fs::remove_file(file.path()).unwrap();
    std::fs::write(file.path(), "[groups]").unwrap();
    state.wait_for(|state| state.problem.is_none()).await.unwrap();
    assert_eq!(file.current().counts(), (0, 0, 0));
}
