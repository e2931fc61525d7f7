//! Real flow logs of unmodified tailscaled, received with the setup of `meshtrail setup flow-logs`: two nodes with a TUN
//! device each, and a transfer of known size.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::network::{HUB, Network, namespace_command};
use meshtrail_e2e::{Node, Server, Setup, Tailnet, WAIT_LIMIT, child_command, meshtrail, python, run, until};
use serde_json::Value;

const PAYLOAD: u64 = 5_000_000;
const PORT: u16 = 9009;

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_known_size_shows_up_once_with_both_ends_counts_under_their_people() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let network = Network::new(&["web", "laptop"]).await?;
    network.add_host(HUB, "log.tailscale.com")?;
    let made = folder.path().join("made");
    set_up(&made).await?;

    let mut control = child_command("ip");
    control.args(&namespace_command(network.namespace(0))[1..]).arg(meshtrail_e2e::peer("tailnet")?);
    control.args(["-domain-log-id", &"d0".repeat(32)]);
    let tailnet = Tailnet::start_on(folder.path(), HUB, control).await?;
    let mut nodes = Vec::new();
    let trusted = made.join("node/ca.pem").display().to_string();
    let environment = [("TS_NO_LOGS_NO_SUPPORT", "false"), ("SSL_CERT_FILE", trusted.as_str())];
    for (number, name) in ["web", "laptop"].iter().enumerate() {
        let node = Node::start(
            folder.path(),
            name,
            &["--tun=tailscale0"],
            &environment,
            Some(network.namespace(number + 1)),
        )?;
        node.up(&tailnet.control, "unused", &["--netfilter-mode=off"]).await?;
        nodes.push(node);
    }
    let [web, laptop] = &nodes[..] else { unreachable!("two nodes were started") };
    tailnet.rename(web, "ana@example.com", "Ana").await?;
    tailnet.rename(laptop, "bo@example.com", "Bo").await?;

    let config = std::fs::read_to_string(made.join("server/meshtrail.toml"))?;
    let setup = Setup {
        config: Some(config),
        socket: Some(web.socket.clone()),
        command_prefix: namespace_command(network.namespace(0)),
        ..Setup::default()
    };
    let server = Server::start(folder.path(), &setup).await?;
    tailnet.flow_logs(web, &"a1".repeat(32)).await?;
    tailnet.flow_logs(laptop, &"b2".repeat(32)).await?;
    for node in &nodes {
        until("the flow logger to start", WAIT_LIMIT, async || {
            node.log().contains("starting up network logger").then_some(())
        })
        .await
        .with_context(|| node.log())?;
    }
    transfer(web, laptop).await?;

    let path = format!("/api/v1/flows?since=1h&by=connection&layer=virtual&port={PORT}");
    let found = until("both ends to report", WAIT_LIMIT, async || {
        let page = get(&server, network.namespace(0), &path).await.ok()?;
        let all = page["conversations"].as_array()?.clone();
        let whole = |one: &Value| {
            let counted = |end: &str| {
                one[end]["tx_bytes"].as_u64().unwrap_or(0).max(one[end]["rx_bytes"].as_u64().unwrap_or(0))
            };
            counted("by_a") >= PAYLOAD && counted("by_b") >= PAYLOAD
        };
        // Attempts before the other end listens are connections of a few packets too.
        let transfers: Vec<Value> = all.into_iter().filter(whole).collect();
        (!transfers.is_empty()).then_some(transfers)
    })
    .await
    .with_context(|| format!("{}\n{}", server.process.tail(), web.log()))?;
    assert_eq!(found.len(), 1, "one connection is one conversation: {found:#?}");
    let told = &found[0];
    let web_is_a = told["a"]["name"].as_str().is_some_and(|name| name.starts_with("web"));
    let (own, other) = if web_is_a { ("by_a", "by_b") } else { ("by_b", "by_a") };
    let count = |end: &str, what: &str| told[end][what].as_u64().unwrap_or(0);
    let (sent, received) = (count(own, "tx_bytes"), count(other, "rx_bytes"));
    assert!((PAYLOAD..PAYLOAD + PAYLOAD / 5).contains(&sent), "{told:#}");
    assert!((PAYLOAD..=sent).contains(&received), "what one sent the other received, once: {told:#}");
    assert_eq!(told[own]["undercounts"], false, "{told:#}");
    let people = [told["a"]["login"].as_str(), told["b"]["login"].as_str()];
    let expected =
        if web_is_a { ["ana@example.com", "bo@example.com"] } else { ["bo@example.com", "ana@example.com"] };
    assert_eq!(people, expected.map(Some), "{told:#}");
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}

async fn set_up(made: &Path) -> Result<()> {
    let mut command = child_command(meshtrail()?);
    command.args(["setup", "flow-logs", "--address", HUB, "--output"]).arg(made);
    command.arg("--server-folder").arg(made.join("server"));
    let output = run("meshtrail setup flow-logs", command, WAIT_LIMIT).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Sends the payload from `from` to `to` over one TCP connection.
async fn transfer(from: &Node, to: &Node) -> Result<()> {
    let serve = format!(
        "import socket; s=socket.create_server(('', {PORT})); c,_=s.accept(); c.sendall(b'x'*{PAYLOAD}); c.close()"
    );
    let serving = tokio::spawn(run("serving", script(from, &serve)?, WAIT_LIMIT));
    let address = from.address().await?;
    let fetch = format!(
        "import socket,time\nfor i in range(100):\n  try: c=socket.create_connection(('{address}',{PORT}),5); break\n  \
         except OSError: time.sleep(0.1)\nn=0\nwhile True:\n  b=c.recv(65536)\n  if not b: break\n  n+=len(b)\nprint(n)"
    );
    let fetched = run("fetching", script(to, &fetch)?, WAIT_LIMIT).await?;
    let count = String::from_utf8_lossy(&fetched.stdout).trim().to_owned();
    ensure!(count == PAYLOAD.to_string(), "fetched {count}: {}", String::from_utf8_lossy(&fetched.stderr));
    serving.await??;
    Ok(())
}

fn script(node: &Node, text: &str) -> Result<std::process::Command> {
    let (first, rest) = node.command_prefix().split_first().context("the node is in a namespace")?;
    let mut command = child_command(first);
    command.args(rest).arg(python()?).args(["-c", text]);
    Ok(command)
}

/// Sends a request to the API, which listens on the namespace's loopback.
async fn get(server: &Server, namespace: &str, path: &str) -> Result<Value> {
    let text = format!(
        "import urllib.request as u; print(u.urlopen(u.Request('{}{path}', headers={{'Authorization': 'Bearer {}'}})).read().decode())",
        server.url, server.token
    );
    let command_prefix = namespace_command(namespace);
    let mut command = child_command(&command_prefix[0]);
    command.args(&command_prefix[1..]).arg(python()?).args(["-c", &text]);
    let output = run("asking the API", command, WAIT_LIMIT).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
