//! Nodes in separate network namespaces, like machines of a tailnet: the recorder on `tailscale:80`, and access to the
//! console over different paths.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::network::{HUB, Network, namespace_command};
use meshtrail_e2e::{Enforcement, Node, Server, Setup, Ssh, Tailnet, WAIT_LIMIT, child_command, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_on_its_nodes_tailscale_address_sees_who_records() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let network = Network::new(&["rec", "web", "laptop"]).await?;
    let tailnet = tailnet_in(folder.path(), &network).await?;
    let mut nodes = Vec::new();
    for (number, (name, flags)) in
        [("recorder", &["--advertise-tags=tag:recorder"][..]), ("web", &["--ssh"]), ("laptop", &[])]
            .iter()
            .enumerate()
    {
        let namespace = network.namespace(number + 1);
        let node = Node::start(folder.path(), name, &["--tun=tailscale0"], &[], Some(namespace))?;
        let flags: Vec<&str> = flags.iter().copied().chain(["--netfilter-mode=off"]).collect();
        node.up(&tailnet.control, "unused", &flags).await?;
        nodes.push(node);
    }
    let [recorder, web, laptop] = &nodes[..] else { unreachable!("three nodes were started") };

    let setup = Setup {
        recorder: vec!["tailscale:80".to_owned()],
        socket: Some(recorder.socket.clone()),
        command_prefix: namespace_command(network.namespace(1)),
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
        web.log()
    );
    // The API listens on the namespace's loopback: only commands inside it reach the API.
    let list = async || server.ok(&["sessions", "list", "--json", "--state", "ended"]).await.ok();
    let line = meshtrail_e2e::until("the session to end", WAIT_LIMIT, async || {
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

/// A tailnet whose control server is at the hub.
async fn tailnet_in(folder: &Path, network: &Network) -> Result<Tailnet> {
    let mut control = child_command("ip");
    control.args(&namespace_command(network.namespace(0))[1..]).arg(meshtrail_e2e::peer("tailnet")?);
    Tailnet::start_on(folder, HUB, control).await
}

/// The numbers of the namespaces: the server, a node of the mesh, and a host outside the mesh.
const CONSOLE: usize = 1;
const LAPTOP: usize = 2;
const LAN: usize = 3;

/// A server in a tailnet that admits everybody of the mesh, reachable over the mesh and over a plain network.
struct Mesh {
    network: Network,
    console: Node,
    laptop: Node,
    server: Server,
    port: String,
    _tailnet: Tailnet,
    _folder: tempfile::TempDir,
}

impl Mesh {
    /// `tun` are the flags of the server's tailscaled.
    async fn start(tun: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let network = Network::new(&["console", "laptop", "lan"]).await?;
        let tailnet = tailnet_in(folder.path(), &network).await?;
        let node = async |number: usize, name: &str, flags: &[&str]| -> Result<Node> {
            let node = Node::start(folder.path(), name, flags, &[], Some(network.namespace(number)))?;
            node.up(&tailnet.control, "unused", &["--netfilter-mode=off"]).await?;
            Ok(node)
        };
        let console = node(CONSOLE, "console", tun).await?;
        let laptop = node(LAPTOP, "laptop", &["--tun=tailscale0"]).await?;
        let setup = Setup {
            listen: Some("0.0.0.0:0".to_owned()),
            socket: Some(console.socket.clone()),
            command_prefix: namespace_command(network.namespace(CONSOLE)),
            config: Some("[roles]\nadmin = [\"*\"]".to_owned()),
            ..Setup::default()
        };
        let server = Server::start(folder.path(), &setup).await?;
        let port = server.url.rsplit(':').next().context("a port")?.to_owned();
        Ok(Self { network, console, laptop, server, port, _tailnet: tailnet, _folder: folder })
    }

    /// Signs in with the tailnet identity from a namespace, at the console at `address`.
    async fn sign_in(&self, from: usize, address: &str) -> Result<String> {
        let script = format!("exec 3<>/dev/tcp/$1/$2 && {PRESS}");
        self.network.script(from, &script, &[address, &self.port]).await
    }

    /// Gives the laptop's address to a host outside the mesh, and routes the server's answers over the plain network.
    async fn take_the_laptops_address(&self) -> Result<()> {
        let (stolen, console) = (self.laptop.address().await?, Network::address(CONSOLE));
        self.network.ip(LAN, &format!("addr add {stolen}/32 dev eth0")).await?;
        self.network.ip(LAN, &format!("route replace {console}/32 dev eth0 src {stolen}")).await?;
        self.network.ip(CONSOLE, &format!("rule add pref 100 to {stolen}/32 lookup 100")).await?;
        let lan = Network::address(LAN);
        self.network.ip(CONSOLE, &format!("route add {stolen}/32 via {lan} dev eth0 table 100")).await
    }

    /// The events of sign-ins.
    async fn sign_ins(&self) -> Result<Vec<serde_json::Value>> {
        let asked = ["events", "query", "kind:meshtrail.signed_in", "--json"];
        // The wildcard address cannot be a destination; the CLI runs in the server's namespace.
        let url = format!("http://127.0.0.1:{}", self.port);
        let output = self.server.ok(&[&asked[..], &["--server", &url]].concat()).await?;
        output.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

/// Sends the form over descriptor 3 and prints the answer; `$1` and `$2` are the console's address and port.
const PRESS: &str = r#"printf 'POST /sign-in/tailnet HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\nConnection: close\r\n\r\nto=/' "$1:$2" "$1:$2" >&3 && cat <&3"#;

fn is_admitted(answer: &str) -> Result<()> {
    ensure!(answer.starts_with("HTTP/1.1 303 ") && answer.contains("set-cookie: meshtrail-"), "{answer}");
    Ok(())
}

fn is_refused(answer: &str, why: &str) -> Result<()> {
    ensure!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("set-cookie"), "{answer}");
    ensure!(answer.contains(why), "{answer}");
    Ok(())
}

const OWN_MACHINE: &str = "comes from this machine itself";
const AROUND_THE_MESH: &str = "did not come by the mesh";

#[tokio::test(flavor = "multi_thread")]
async fn with_an_interface_only_what_comes_by_it_from_another_machine_is_an_identity() -> Result<()> {
    let mesh = Mesh::start(&["--tun=tailscale0"]).await?;
    let console = mesh.console.address().await?.to_string();
    is_admitted(&mesh.sign_in(LAPTOP, &console).await?)?;
    is_refused(&mesh.sign_in(CONSOLE, &console).await?, OWN_MACHINE)?;
    is_refused(&mesh.sign_in(CONSOLE, "127.0.0.1").await?, "not an address of the mesh")?;
    is_refused(&mesh.sign_in(CONSOLE, &Network::address(CONSOLE)).await?, OWN_MACHINE)?;
    is_refused(&mesh.sign_in(LAN, &Network::address(CONSOLE)).await?, "not an address of the mesh")?;
    mesh.take_the_laptops_address().await?;
    is_refused(&mesh.sign_in(LAN, &Network::address(CONSOLE)).await?, AROUND_THE_MESH)?;

    let signed_in = mesh.sign_ins().await?;
    assert_eq!(signed_in.len(), 1, "{signed_in:#?}");
    assert_eq!(signed_in[0]["actor"]["device"]["name"], "laptop.tail.example");
    // The owner of the address can still be looked up, and tailscaled names the owner; which program sends is a different
    // matter.
    let url = format!("http://127.0.0.1:{}", mesh.port);
    let who = mesh.server.ok(&["who", &console, "--json", "--server", &url]).await?;
    let who: serde_json::Value = serde_json::from_str(&who)?;
    assert_eq!(who["now"]["identity"]["status"], "resolved", "{who:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_interface_only_what_tailscaled_forwards_from_another_machine_is_an_identity() -> Result<()>
{
    let mesh = Mesh::start(&["--tun=userspace-networking"]).await?;
    let console = mesh.console.address().await?.to_string();
    is_admitted(&mesh.sign_in(LAPTOP, &console).await?)?;
    is_refused(&mesh.sign_in(CONSOLE, "127.0.0.1").await?, "no provider knows this address")?;
    is_refused(&mesh.sign_in(CONSOLE, &Network::address(CONSOLE)).await?, OWN_MACHINE)?;
    mesh.take_the_laptops_address().await?;
    is_refused(&mesh.sign_in(LAN, &Network::address(CONSOLE)).await?, AROUND_THE_MESH)?;

    let signed_in = mesh.sign_ins().await?;
    assert_eq!(signed_in.len(), 1, "{signed_in:#?}");
    assert_eq!(signed_in[0]["actor"]["device"]["name"], "laptop.tail.example");
    Ok(())
}

/// tailscaled identifies a forwarded connection by its port alone, which a program can share.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_the_port_of_a_forwarded_connection_is_not_the_peer() -> Result<()> {
    let mesh = Mesh::start(&["--tun=userspace-networking"]).await?;
    let console = mesh.console.address().await?.to_string();
    let recorder = mesh.server.recorder.rsplit(':').next().context("a port")?.to_owned();
    // The laptop is connected to another service on the server's machine.
    let held = "exec 3<>/dev/tcp/$1/$2 && read -t 25 line <&3";
    let to_recorder = [console.as_str(), recorder.as_str()];
    let held = mesh.network.script(LAPTOP, held, &to_recorder);
    let attack = async {
        let far = format!("0100007F:{:04X}", recorder.parse::<u16>()?);
        let port = until("tailscaled to forward the connection", WAIT_LIMIT, async || {
            let sockets = mesh.network.script(CONSOLE, "cat /proc/net/tcp", &[]).await.ok()?;
            let line = sockets.lines().find(|line| line.split_whitespace().nth(2) == Some(&far))?;
            u16::from_str_radix(line.split_whitespace().nth(1)?.split(':').nth(1)?, 16).ok()
        })
        .await?;
        // From here on every connection made in this namespace has that port.
        let range = "echo $1 $1 > /proc/sys/net/ipv4/ip_local_port_range";
        mesh.network.script(CONSOLE, range, &[&port.to_string()]).await?;
        let as_nobody = "exec setpriv --reuid=65534 --clear-groups bash -c \"$3\" press $1 $2";
        let press = format!("exec 3<>/dev/tcp/$1/$2 && {PRESS}");
        let answer = mesh.network.script(CONSOLE, as_nobody, &["127.0.0.1", &mesh.port, &press]).await?;
        is_refused(&answer, OWN_MACHINE)
    };
    tokio::select! {
        attacked = attack => attacked,
        ended = held => anyhow::bail!("the laptop's connection ended early: {ended:?}"),
    }
}
