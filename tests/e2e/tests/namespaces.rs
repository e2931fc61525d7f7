//! Nodes with a TUN device, each in a network namespace of its own: the recorder on `tailscale:80`, as a tailnet has it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Enforcement, Node, Server, Setup, Ssh, Tailnet, mortal, run};

/// A bridge between namespaces, with this machine's end on a link of its own; all gone when dropped.
struct Network {
    names: Vec<String>,
}

/// The control server's namespace is the hub; nodes hang off it by one link each.
const HUB: &str = "198.18.0.1";

impl Network {
    async fn new(nodes: &[&str]) -> Result<Self> {
        let id = std::process::id();
        let mut network = Self { names: Vec::new() };
        let hub = network.add(&format!("mt{id}-hub")).await?;
        ip(&format!("-n {hub} link add br0 type bridge")).await?;
        ip(&format!("-n {hub} addr add {HUB}/24 dev br0")).await?;
        ip(&format!("-n {hub} link set br0 up")).await?;
        for (number, node) in nodes.iter().enumerate() {
            let name = network.add(&format!("mt{id}-{node}")).await?;
            ip(&format!("-n {hub} link add v{number} type veth peer name eth0 netns {name}")).await?;
            ip(&format!("-n {hub} link set v{number} master br0 up")).await?;
            ip(&format!("-n {name} addr add 198.18.0.{}/24 dev eth0", number + 2)).await?;
            ip(&format!("-n {name} link set eth0 up")).await?;
            ip(&format!("-n {name} route add default via {HUB}")).await?;
        }
        Ok(network)
    }

    async fn add(&mut self, name: &str) -> Result<String> {
        ip(&format!("netns add {name}")).await?;
        self.names.push(name.to_owned());
        ip(&format!("-n {name} link set lo up")).await?;
        Ok(name.to_owned())
    }

    fn of(&self, number: usize) -> &str {
        &self.names[number]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            std::process::Command::new("ip").args(["netns", "delete", name]).status().ok();
        }
    }
}

async fn ip(line: &str) -> Result<()> {
    let mut command = mortal("ip");
    command.args(line.split(' '));
    let output = run(&format!("ip {line}"), command, Duration::from_secs(10)).await?;
    ensure!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn inside(namespace: &str) -> Vec<String> {
    ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
}

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
