//! Every change in a real Headscale with three real nodes becomes one event in a server that has only its URL and a
//! key.

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Headscale, Node, Server, Setup, WAIT_LIMIT, until};
use serde_json::Value;

/// The kinds that this test compares completely.
const KINDS: [&str; 4] = ["device.", "route.", "policy.", "key.expired"];

async fn changes(server: &Server) -> Result<Vec<Value>> {
    let page = server.json("/api/v1/changes?since=1h&limit=1000&diff=true").await?;
    Ok(page["changes"].as_array().context("`changes` is a list")?.clone())
}

/// The changes as `kind name`, sorted.
async fn change_names(server: &Server) -> Result<Vec<String>> {
    let changes = changes(server).await?;
    let mut told: Vec<String> = changes
        .iter()
        .map(|change| {
            let name = change["target"]["name"].as_str().unwrap_or("-");
            format!("{} {name}", change["kind"].as_str().unwrap_or("?"))
        })
        .filter(|told| KINDS.iter().any(|kind| told.starts_with(kind)))
        .collect();
    told.sort();
    Ok(told)
}

async fn wait_for_change(server: &Server, wanted: &str) -> Result<()> {
    let asked = until(wanted, WAIT_LIMIT, async || {
        let told = change_names(server).await.ok()?;
        told.iter().any(|told| told == wanted).then_some(())
    });
    match asked.await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(format!("told: {:#?}", change_names(server).await?))),
    }
}

/// Waits until Headscale was polled again.
async fn wait_for_next_poll(server: &Server) -> Result<()> {
    let heard = async || -> Option<String> {
        let sources = server.json("/api/v1/sources").await.ok()?;
        let headscale =
            sources["sources"].as_array()?.iter().find(|source| source["name"] == "headscale")?.clone();
        headscale["last_heard"].as_str().map(str::to_owned)
    };
    let first = until("Headscale to be heard", WAIT_LIMIT, heard).await?;
    let mut seen = first;
    for _ in 0..2 {
        seen = until("Headscale to be heard again", WAIT_LIMIT, async || {
            heard().await.filter(|now| *now > seen)
        })
        .await?;
    }
    Ok(())
}

/// The id of the node with this host name.
async fn id_of(headscale: &Headscale, host: &str) -> Result<String> {
    let nodes = headscale.run(&["nodes", "list"]).await?;
    let nodes = nodes.as_array().context("a list of nodes")?;
    let node =
        nodes.iter().find(|node| node["name"] == host).with_context(|| format!("{host} in {nodes:#?}"))?;
    Ok(node["id"].to_string().trim_matches('"').to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_three_nodes_is_told_once_each_also_over_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let headscale = Headscale::start(folder.path()).await?;
    let (alice, bob) = (headscale.user("alice").await?, headscale.user("bob").await?);
    let node = |name: &str| Node::start(folder.path(), name, &["--tun=userspace-networking"], &[], None);
    let web = node("web")?;
    web.up(&headscale.url, &alice, &[]).await?;

    let key = headscale.run(&["apikeys", "create"]).await?;
    let key_file = folder.path().join("headscale.key");
    std::fs::write(&key_file, key.as_str().context("an API key")?)?;
    let config = format!(
        "[sources.headscale]\nurl = {:?}\napi_key_file = {:?}\nevery = \"1s\"\n",
        headscale.url,
        key_file.display().to_string()
    );
    let server = Server::start(folder.path(), &Setup { config: Some(config), ..Setup::default() }).await?;
    wait_for_next_poll(&server).await?;
    ensure!(
        change_names(&server).await?.is_empty(),
        "the first sight tells of no change: {:#?}",
        change_names(&server).await?
    );

    let laptop = node("laptop")?;
    laptop.up(&headscale.url, &alice, &[]).await?;
    wait_for_change(&server, "device.added laptop").await?;
    let router = node("router")?;
    router.up(&headscale.url, &bob, &[]).await?;
    wait_for_change(&server, "device.added router").await?;

    let (web_id, laptop_id, router_id) = (
        id_of(&headscale, "web").await?,
        id_of(&headscale, "laptop").await?,
        id_of(&headscale, "router").await?,
    );
    headscale.run(&["nodes", "rename", "-i", &web_id, "web-2"]).await?;
    wait_for_change(&server, "device.renamed web-2").await?;
    router.tailscale(&["set", "--advertise-routes=10.9.0.0/16"]).await?;
    wait_for_change(&server, "route.advertised router").await?;
    headscale.run(&["nodes", "approve-routes", "-i", &router_id, "-r", "10.9.0.0/16"]).await?;
    wait_for_change(&server, "route.enabled router").await?;
    headscale.run(&["nodes", "tag", "-i", &router_id, "-t", "tag:ci"]).await?;
    wait_for_change(&server, "device.tagged router").await?;
    headscale.run(&["nodes", "expire", "-i", &laptop_id]).await?;
    wait_for_change(&server, "key.expired laptop").await?;
    let policy = std::fs::read_to_string(&headscale.policy)?;
    let policy =
        policy.replacen('{', "{\n\"groups\": {\n// INC-4711\n\"group:ops\": [\"alice@example.com\"]},\n", 1);
    std::fs::write(&headscale.policy, &policy)?;
    wait_for_change(&server, "policy.changed -").await?;
    headscale.run(&["nodes", "delete", "-i", &laptop_id, "--force"]).await?;
    wait_for_change(&server, "device.removed laptop").await?;

    let server = server.kill_and_restart().await?;
    wait_for_next_poll(&server).await?;
    let expected = [
        "device.added laptop",
        "device.added router",
        "device.removed laptop",
        "device.renamed web-2",
        "device.tagged router",
        "key.expired laptop",
        "policy.changed -",
        "route.advertised router",
        "route.enabled router",
    ];
    assert_eq!(change_names(&server).await?, expected, "each once");
    findings(&server).await?;
    check_command_line(&server, &web).await?;
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}

/// The expected findings, with the documented severities.
async fn findings(server: &Server) -> Result<()> {
    let found = async || -> Option<Vec<String>> {
        let page = server.json("/api/v1/events?q=kind:finding.raised&limit=1000").await.ok()?;
        let events = page["events"].as_array()?;
        let detail = |event: &Value, member: &str| event["detail"][member].as_str().unwrap_or("?").to_owned();
        let mut found: Vec<_> = events
            .iter()
            .map(|event| format!("{} {}", detail(event, "rule"), detail(event, "severity")))
            .collect();
        found.sort();
        (found.len() >= 4).then_some(found)
    };
    let found = until("findings", WAIT_LIMIT, found).await?;
    let expected = [
        "mesh.device_added medium",
        "mesh.device_added medium",
        "mesh.device_removed low",
        "mesh.policy_changed high",
    ];
    assert_eq!(found, expected);
    Ok(())
}

/// Checks the output of the command line.
async fn check_command_line(server: &Server, web: &Node) -> Result<()> {
    let text = server.ok(&["changes", "--since", "1h", "--diff"]).await?;
    for said in [
        "alice@example.com's device web was renamed to web-2",
        "bob@example.com's device router joined with",
        "bob@example.com's device router was tagged tag:ci",
        "serves 10.9.0.0/16 now",
        "alice@example.com's device laptop has an expired key",
        "alice@example.com's device laptop was removed",
        "The policy changed: group:ops is new, with alice@example.com // INC-4711",
        "+\"group:ops\": [",
    ] {
        ensure!(text.contains(said), "{said:?} is not in\n{text}");
    }
    let address = web.address().await?.to_string();
    let who = server.ok(&["who", &address]).await?;
    ensure!(who.contains("alice@example.com") && who.contains("web-2"), "{who}");
    Ok(())
}
