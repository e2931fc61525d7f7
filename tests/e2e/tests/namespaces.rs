//! Nodes with a TUN device, each in a network namespace of its own: the recorder on `tailscale:80`, as a tailnet has it.

use std::time::Duration;

use anyhow::{Context, Result};
use meshtrail_e2e::network::{HUB, Network, inside};
use meshtrail_e2e::{Enforcement, Node, Server, Setup, Ssh, Tailnet, mortal};

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_on_its_nodes_tailscale_address_sees_who_records() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let network = Network::new(&["rec", "web", "laptop"]).await?;
    let mut control = mortal("ip");
    control.args(&inside(network.of(0))[1..]).arg(meshtrail_e2e::peer("tailnet")?);
    let tailnet = Tailnet::start_on(folder.path(), HUB, control).await?;
    let mut nodes = Vec::new();
    for (number, (name, flags)) in
        [("recorder", &["--advertise-tags=tag:recorder"][..]), ("web", &["--ssh"]), ("laptop", &[])]
            .iter()
            .enumerate()
    {
        let namespace = network.of(number + 1);
        let node = Node::start(folder.path(), name, &["--tun=tailscale0"], &[], Some(namespace))?;
        let flags: Vec<&str> = flags.iter().copied().chain(["--netfilter-mode=off"]).collect();
        node.up(&tailnet.control, "unused", &flags).await?;
        nodes.push(node);
    }
    let [recorder, web, laptop] = &nodes[..] else { unreachable!("three nodes were started") };

    let setup = Setup {
        recorder: vec!["tailscale:80".to_owned()],
        socket: Some(recorder.socket.clone()),
        entering: inside(network.of(1)),
        ..Setup::default()
    };
    let server = Server::start(folder.path(), &setup).await?;
    let address = recorder.address().await?.to_string();
    assert!(server.recorders.contains(&format!("{address}:80")), "{:?}", server.recorders);
    tailnet.record(web, &[format!("{address}:80")], Enforcement::Closed).await?;

    let output = Ssh::between(laptop, web).await?.command("echo over the tunnel").await?;
    assert_eq!(
        output.stdout,
        b"over the tunnel\n",
        "{}; {}",
        String::from_utf8_lossy(&output.stderr),
        web.logged()
    );
    // The API listens on the namespace's loopback: only commands inside reach it.
    let list = async || server.ok(&["sessions", "list", "--json", "--state", "ended"]).await.ok();
    let line = meshtrail_e2e::until("the session to end", Duration::from_secs(20), async || {
        list().await.filter(|text| !text.is_empty())
    })
    .await?;
    let session: serde_json::Value = serde_json::from_str(line.lines().next().context("a session")?)?;
    let peer = session["peer"].as_str().context("a peer")?;
    assert!(
        peer.starts_with(&web.address().await?.to_string()),
        "the real source address is seen: {session:#}"
    );
    assert_eq!(session["target"]["device"]["name"], "web.tail.example");
    assert_eq!(session["identity"]["status"], "resolved");
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}
