//! A real tailscaled sends its own log over `TS_LOG_TARGET`: each line is in the trail once, even if the server is
//! killed meanwhile.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Node, Server, Setup, Tailnet, WAIT_LIMIT, until};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_log_arrives_and_each_line_counts_once_across_a_crash() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tailnet = Tailnet::start(folder.path()).await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = format!("[sources.logtail]\nlisten = \"127.0.0.1:{port}\"\n");
    let server = Server::start(folder.path(), &Setup { config: Some(config), ..Setup::default() }).await?;
    let target = format!("http://127.0.0.1:{port}");
    let environment = [
        ("TS_NO_LOGS_NO_SUPPORT", "false"),
        ("TS_LOG_TARGET", target.as_str()),
        ("TS_DEBUG_LOGTAIL_FLUSHDELAY", "100ms"),
    ];
    let node = Node::start(folder.path(), "web", &["--tun=userspace-networking"], &environment, None)?;
    node.up(&tailnet.control, "unused", &[]).await?;
    let before =
        lines(&server, |lines| lines.iter().any(|line| text(line).contains("Program starting"))).await?;
    ensure!(before.iter().all(|line| line["target"]["id"].as_str().is_some_and(|id| id.len() == 64)));

    let server = server.kill_and_restart().await?;
    node.tailscale(&["down"]).await?;
    node.up(&tailnet.control, "unused", &[]).await?;
    let highest =
        before.iter().filter_map(|line| line["detail"]["proc_seq"].as_u64()).max().context("numbers")?;
    let after = lines(&server, |lines| {
        lines
            .iter()
            .filter_map(|line| line["detail"]["proc_seq"].as_u64())
            .any(|number| number > highest + 20)
    })
    .await?;
    let numbers: Vec<(u64, u64)> = after
        .iter()
        .filter_map(|line| Some((line["detail"]["proc_id"].as_u64()?, line["detail"]["proc_seq"].as_u64()?)))
        .collect();
    let distinct: HashSet<_> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "no line is there twice");
    let last = numbers.iter().map(|(_, number)| *number).max().unwrap_or_default();
    assert_eq!(distinct.len() as u64, last, "no line is missing");
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}

fn text(line: &Value) -> &str {
    line["detail"]["text"].as_str().unwrap_or_default()
}

/// Waits for the expected lines of the node. A client that finds no server waits half a minute to a minute.
async fn lines(server: &Server, wanted: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
    until("the node's lines to arrive", WAIT_LIMIT, async || {
        let mut all = Vec::new();
        let mut path = "/api/v1/events?q=kind:log.line&order=oldest&limit=1000".to_owned();
        loop {
            let page = server.json(&path).await.ok()?;
            all.extend(page["events"].as_array()?.iter().cloned());
            match page["next"].as_str() {
                Some(next) => {
                    path = format!("/api/v1/events?q=kind:log.line&order=oldest&limit=1000&cursor={next}")
                }
                None => break,
            }
        }
        wanted(&all).then_some(all)
    })
    .await
}
