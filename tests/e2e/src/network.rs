//! Network namespaces on a bridge, for nodes with their own TUN device.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use crate::WAIT_LIMIT;
use crate::process::{child_command, run};

/// A bridge between namespaces; removed when dropped.
#[derive(Debug)]
pub struct Network {
    names: Vec<String>,
}

/// The address of the hub, the namespace of the control server; each node has one link to it.
pub const HUB: &str = "198.18.0.1";

/// Number of networks so far: the tests of a process run concurrently, each with its own network.
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

    /// Resolves `name` to `address` in all these namespaces: `ip netns exec` mounts this file over the machine's own.
    pub fn add_host(&self, address: &str, name: &str) -> Result<()> {
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
    pub async fn ip(&self, number: usize, line: &str) -> Result<()> {
        ip(&format!("-n {} {line}", self.namespace(number))).await
    }

    /// Runs a shell script in a namespace, with arguments `$1` and so on; returns its output.
    pub async fn script(&self, number: usize, script: &str, arguments: &[&str]) -> Result<String> {
        let mut command = child_command("ip");
        command
            .args(&namespace_command(self.namespace(number))[1..])
            .args(["bash", "-c", script, "script"])
            .args(arguments);
        let output = run("a script in a namespace", command, WAIT_LIMIT).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The name of a namespace: 0 is the hub.
    pub fn namespace(&self, number: usize) -> &str {
        &self.names[number]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            std::process::Command::new("ip").args(["netns", "delete", name]).status().ok();
            // Exists only if a host was added.
            std::fs::remove_dir_all(hosts_folder(name)).ok();
        }
    }
}

fn hosts_folder(namespace: &str) -> std::path::PathBuf {
    std::path::Path::new("/etc/netns").join(namespace)
}

async fn ip(line: &str) -> Result<()> {
    let mut command = child_command("ip");
    command.args(line.split(' '));
    let output = run(&format!("ip {line}"), command, WAIT_LIMIT).await?;
    ensure!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The command prefix that enters a namespace.
pub fn namespace_command(namespace: &str) -> Vec<String> {
    ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
}
