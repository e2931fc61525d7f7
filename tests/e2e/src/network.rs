//! Network namespaces on a bridge, for nodes with a TUN device of their own.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use crate::PATIENCE;
use crate::process::{mortal, run};

/// A bridge between namespaces, with this machine's end on a link of its own; all gone when dropped.
#[derive(Debug)]
pub struct Network {
    names: Vec<String>,
}

/// The control server's namespace is the hub; nodes hang off it by one link each.
pub const HUB: &str = "198.18.0.1";

/// Tests of one process run at the same time, each with a network of its own.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// The hub and one namespace for each node.
    pub async fn new(nodes: &[&str]) -> Result<Self> {
        let id = format!("{}-{}", std::process::id(), NETWORKS.fetch_add(1, Ordering::Relaxed));
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

    /// Makes `name` mean `address` in all these namespaces: `ip netns exec` puts such a file in place of the machine's.
    pub fn host(&self, address: &str, name: &str) -> Result<()> {
        for namespace in &self.names {
            let folder = hosts_folder(namespace);
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("hosts"), format!("127.0.0.1 localhost\n{address} {name}\n"))?;
        }
        Ok(())
    }

    async fn add(&mut self, name: &str) -> Result<String> {
        ip(&format!("netns add {name}")).await?;
        self.names.push(name.to_owned());
        ip(&format!("-n {name} link set lo up")).await?;
        Ok(name.to_owned())
    }

    /// The address of a namespace on the bridge: 0 is the hub.
    pub fn address(number: usize) -> String {
        format!("198.18.0.{}", number + 1)
    }

    /// Runs `ip` on the interfaces, addresses and routes of a namespace.
    pub async fn set(&self, number: usize, line: &str) -> Result<()> {
        ip(&format!("-n {} {line}", self.of(number))).await
    }

    /// What a shell script prints in a namespace; its arguments are `$1` and so on.
    pub async fn script(&self, number: usize, script: &str, arguments: &[&str]) -> Result<String> {
        let mut command = mortal("ip");
        command.args(&inside(self.of(number))[1..]).args(["bash", "-c", script, "script"]).args(arguments);
        let output = run("a script in a namespace", command, PATIENCE).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The name of a namespace: 0 is the hub.
    pub fn of(&self, number: usize) -> &str {
        &self.names[number]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            std::process::Command::new("ip").args(["netns", "delete", name]).status().ok();
            // There only if a host was named.
            std::fs::remove_dir_all(hosts_folder(name)).ok();
        }
    }
}

fn hosts_folder(namespace: &str) -> std::path::PathBuf {
    std::path::Path::new("/etc/netns").join(namespace)
}

async fn ip(line: &str) -> Result<()> {
    let mut command = mortal("ip");
    command.args(line.split(' '));
    let output = run(&format!("ip {line}"), command, PATIENCE).await?;
    ensure!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The commands that lead into a namespace.
pub fn inside(namespace: &str) -> Vec<String> {
    ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
}
