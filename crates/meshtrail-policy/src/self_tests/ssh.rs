//! `sshTests`: logins that must be accepted, checked or denied.

use crate::compile::Policy;
use crate::control_plane::ControlPlane;
use crate::file::{Autogroup, Selector, SshTest};
use crate::login::{Decision, LocalUser, LoginQuestion};
use crate::mesh::DeviceRef;

/// The uid that users of a test are taken to have, besides `root`.
const ORDINARY_UID: u32 = 1000;

impl Policy {
    pub(super) fn run_ssh_test(&self, test: &SshTest) -> Vec<String> {
        let mut failures = Vec::new();
        if test.accept.is_empty() && test.check.is_empty() && test.deny.is_empty() {
            failures.push("a test has accept, check or deny".to_owned());
        }
        let sources = self.test_sources(&test.source).unwrap_or_else(|reason| {
            failures.push(reason);
            Vec::new()
        });
        if test.hosts.is_empty() {
            failures.push("a test names its destinations".to_owned());
        }
        for host in &test.hosts {
            match self.test_hosts(host, &test.source) {
                Ok(hosts) => {
                    hosts.into_iter().for_each(|host| self.run_logins(test, &sources, host, &mut failures))
                }
                Err(reason) => failures.push(reason),
            }
        }
        failures
    }

    fn test_sources(&self, text: &str) -> Result<Vec<DeviceRef>, String> {
        let set = self.resolver().source(&self.test_selector(text)?);
        let devices: Vec<_> = set.devices.iter().map(|(device, _)| device).collect();
        if devices.is_empty() { Err(format!("no device is in {text}")) } else { Ok(devices) }
    }

    fn test_hosts(&self, text: &str, source: &str) -> Result<Vec<DeviceRef>, String> {
        let selector = self.test_selector(text)?;
        let set = self.resolver().destination(&selector);
        let devices: Vec<_> = match selector {
            // What a network or an address of IPv6 names is refused (captured); Headscale takes the latter.
            Selector::Autogroup(Autogroup::Internet) => Vec::new(),
            Selector::Addresses(addresses) if !self.is_test_address(&addresses) => Vec::new(),
            Selector::Autogroup(Autogroup::OwnDevices) => {
                let person = self.mesh.find_person(source);
                person.map(|person| self.mesh.devices_of(person).to_vec()).unwrap_or_default()
            }
            _ => set.devices.iter().map(|(device, _)| device).collect(),
        };
        if devices.is_empty() { Err(format!("{text} can't be the host of a test")) } else { Ok(devices) }
    }

    fn is_test_address(&self, addresses: &crate::address::AddressSet) -> bool {
        let [(first, last)] = addresses.ranges() else { return false };
        first == last && (first.is_ipv4() || self.plane == ControlPlane::Headscale)
    }

    fn run_logins(&self, test: &SshTest, sources: &[DeviceRef], host: DeviceRef, failures: &mut Vec<String>) {
        let name = &self.mesh.device(host).name;
        for (users, wanted) in [(&test.accept, "accepted"), (&test.check, "checked"), (&test.deny, "denied")]
        {
            for user in users {
                let holds = |from: &DeviceRef| match (wanted, self.test_decision(*from, host, user)) {
                    ("accepted", decision) => decision != Decision::Deny,
                    ("checked", decision) => decision == Decision::Check,
                    (_, decision) => decision == Decision::Deny,
                };
                if user.is_empty() || !sources.iter().all(holds) {
                    failures.push(format!("{} as {user:?} on {name} is not {wanted}", test.source));
                }
            }
        }
    }

    fn test_decision(&self, from: DeviceRef, host: DeviceRef, user: &str) -> Decision {
        let uid = if user == "root" { 0 } else { ORDINARY_UID };
        self.login(&LoginQuestion::new(from, host, LocalUser::with_uid(user, uid))).decision
    }
}
