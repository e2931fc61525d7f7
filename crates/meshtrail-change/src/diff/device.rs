//! Changes of a device between two snapshots.
//!
//! What flaps (last seen, online) is no change, and neither is a member that one of the two states lacks.

use std::collections::BTreeSet;

use meshtrail_event::text::join_list;
use meshtrail_event::{DeviceState, Kind, Timestamp};

use super::words;

/// The routes of an exit node.
const EXIT_ROUTES: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// One change of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChange {
    /// The kind of its event.
    pub kind: Kind,
    /// The member of [`DeviceState`] that changed: `name`, `tags`.
    pub property: &'static str,
    /// A sentence for people.
    pub summary: String,
}

/// The changes of a device from `old` to `new`, the state at `taken`.
pub fn device(old: &DeviceState, new: &DeviceState, taken: Timestamp) -> Vec<DeviceChange> {
    let mut changes = Changes { who: words::device(old), list: Vec::new() };
    changes.names(old, new);
    changes.ownership(old, new);
    changes.admission(old, new);
    changes.keys(old, new, taken);
    changes.routes(old, new);
    changes.rest(old, new);
    changes.list
}

/// Whether its node key is expired at `now`.
pub fn is_expired(device: &DeviceState, now: Timestamp) -> bool {
    let past = device.key_expiry_disabled != Some(true) && device.expires.is_some_and(|at| at <= now);
    device.expired == Some(true) || past
}

/// The routes without those of an exit node.
fn subnets(routes: &BTreeSet<String>) -> BTreeSet<&str> {
    routes.iter().map(String::as_str).filter(|route| !EXIT_ROUTES.contains(route)).collect()
}

fn is_exit(routes: &BTreeSet<String>) -> bool {
    EXIT_ROUTES.iter().any(|route| routes.contains(*route))
}

/// Both values, if both are there and differ.
fn differ<'a, T: PartialEq>(old: Option<&'a T>, new: Option<&'a T>) -> Option<(&'a T, &'a T)> {
    old.zip(new).filter(|(old, new)| old != new)
}

struct Changes {
    who: String,
    list: Vec<DeviceChange>,
}

impl Changes {
    fn push(&mut self, kind: Kind, property: &'static str, what: impl AsRef<str>) {
        let summary = format!("{} {}", self.who, what.as_ref());
        self.list.push(DeviceChange { kind, property, summary });
    }

    fn names(&mut self, old: &DeviceState, new: &DeviceState) {
        if let Some((from, to)) = differ(old.name.as_ref(), new.name.as_ref()) {
            let same = words::short(from) == words::short(to);
            let to = if same { to } else { words::short(to) };
            self.push(Kind::DeviceRenamed, "name", format!("was renamed to {to}"));
        }
        if let Some((from, to)) = differ(old.hostname.as_ref(), new.hostname.as_ref()) {
            self.push(Kind::DeviceChanged, "hostname", format!("calls itself {to} now, before {from}"));
        }
    }

    fn ownership(&mut self, old: &DeviceState, new: &DeviceState) {
        if old.tags != new.tags {
            let added: Vec<_> = new.tags.difference(&old.tags).collect();
            let removed: Vec<_> = old.tags.difference(&new.tags).collect();
            let what = match (added.is_empty(), removed.is_empty()) {
                (false, true) => format!("was tagged {}", join_list(&added)),
                (true, false) => format!("lost {}", join_list(&removed)),
                _ => format!("was tagged {} in place of {}", join_list(&added), join_list(&removed)),
            };
            self.push(Kind::DeviceTagged, "tags", what);
        }
        if let Some((_, to)) = differ(old.owner.as_ref(), new.owner.as_ref()) {
            self.push(Kind::DeviceTransferred, "owner", format!("belongs to {to} now"));
        }
        if old.addresses.iter().collect::<BTreeSet<_>>() != new.addresses.iter().collect() {
            let what = match (old.addresses.is_empty(), new.addresses.is_empty()) {
                (_, true) => format!("lost its address, {}", join_list(&old.addresses)),
                (true, false) => format!("was given {}", join_list(&new.addresses)),
                (false, false) => {
                    format!("has {} now, before {}", join_list(&new.addresses), join_list(&old.addresses))
                }
            };
            self.push(Kind::DeviceAddressed, "addresses", what);
        }
    }

    fn admission(&mut self, old: &DeviceState, new: &DeviceState) {
        match (old.authorized, new.authorized) {
            (Some(false), Some(true)) => self.push(Kind::DeviceApproved, "authorized", "was approved"),
            (Some(true), Some(false)) => {
                self.push(Kind::DeviceUnauthorized, "authorized", "is no longer approved");
            }
            _ => {}
        }
    }

    fn keys(&mut self, old: &DeviceState, new: &DeviceState, taken: Timestamp) {
        let renewed = differ(old.node_key.as_ref(), new.node_key.as_ref()).is_some();
        if renewed {
            self.push(Kind::KeyRenewed, "node_key", "signed in again with a new node key");
        }
        if differ(old.machine_key.as_ref(), new.machine_key.as_ref()).is_some() {
            let what = "has another machine key: another machine, or one that was set up anew";
            self.push(Kind::DeviceChanged, "machine_key", what);
        }
        // The expiry itself is an event of its own, written once: see `snapshot::time_levels`.
        let expired_now = is_expired(new, taken);
        let moved = !expired_now && !renewed && differ(old.expires.as_ref(), new.expires.as_ref()).is_some();
        match (old.key_expiry_disabled, new.key_expiry_disabled) {
            (Some(false), Some(true)) => {
                self.push(Kind::KeyExpiryChanged, "key_expiry_disabled", "has a key that never expires now");
            }
            (Some(true), Some(false)) if !expired_now => {
                let what = words::with_time("has a key that expires again", new.expires);
                self.push(Kind::KeyExpiryChanged, "key_expiry_disabled", what);
            }
            (before, after) if before == after && after != Some(true) && moved => {
                let what = words::with_time("has a key that expires at another time", new.expires);
                self.push(Kind::KeyExpiryChanged, "expires", what);
            }
            _ => {}
        }
    }

    fn routes(&mut self, old: &DeviceState, new: &DeviceState) {
        let (was, is) = (subnets(&old.advertised_routes), subnets(&new.advertised_routes));
        let (more, less): (Vec<_>, Vec<_>) = (is.difference(&was).collect(), was.difference(&is).collect());
        if !more.is_empty() {
            self.push(Kind::RouteAdvertised, "advertised_routes", format!("offers {}", join_list(&more)));
        }
        if !less.is_empty() {
            self.push(
                Kind::RouteAdvertised,
                "advertised_routes",
                format!("no longer offers {}", join_list(&less)),
            );
        }
        match (is_exit(&old.advertised_routes), is_exit(&new.advertised_routes)) {
            (false, true) => self.push(Kind::RouteAdvertised, "exit_offer", "offers to be an exit node"),
            (true, false) => {
                self.push(Kind::RouteAdvertised, "exit_offer", "no longer offers to be an exit node");
            }
            _ => {}
        }
        let (was, is) = (subnets(&old.enabled_routes), subnets(&new.enabled_routes));
        let (more, less): (Vec<_>, Vec<_>) = (is.difference(&was).collect(), was.difference(&is).collect());
        if !more.is_empty() {
            self.push(Kind::RouteEnabled, "enabled_routes", format!("serves {} now", join_list(&more)));
        }
        if !less.is_empty() {
            self.push(
                Kind::RouteDisabled,
                "enabled_routes",
                format!("no longer serves {}", join_list(&less)),
            );
        }
        match (is_exit(&old.enabled_routes), is_exit(&new.enabled_routes)) {
            (false, true) => self.push(Kind::RouteExitNodeChanged, "exit_node", "is an exit node now"),
            (true, false) => self.push(Kind::RouteExitNodeChanged, "exit_node", "is no exit node any more"),
            _ => {}
        }
    }

    fn rest(&mut self, old: &DeviceState, new: &DeviceState) {
        if let Some((from, to)) = differ(old.client_version.as_ref(), new.client_version.as_ref()) {
            self.push(Kind::DeviceChanged, "client_version", format!("runs client {to} now, before {from}"));
        }
        if let Some((from, to)) = differ(old.os.as_ref(), new.os.as_ref()) {
            self.push(Kind::DeviceChanged, "os", format!("runs {to} now, before {from}"));
        }
        self.exposure(old, new);
        self.hardware(old, new);
        match (old.external, new.external) {
            (Some(false), Some(true)) => {
                self.push(Kind::DeviceShared, "external", "belongs to another tailnet now");
            }
            (Some(true), Some(false)) => {
                self.push(Kind::DeviceShared, "external", "belongs to this tailnet now")
            }
            _ => {}
        }
    }

    /// Settings that let others in.
    fn exposure(&mut self, old: &DeviceState, new: &DeviceState) {
        let mut switched = |property, (old, new): (Option<bool>, Option<bool>), on: &str, off: &str| {
            if old.zip(new).is_some_and(|(old, new)| old != new) {
                self.push(Kind::DeviceChanged, property, if new == Some(true) { on } else { off });
            }
        };
        switched(
            "ssh_enabled",
            (old.ssh_enabled, new.ssh_enabled),
            "takes Tailscale SSH now",
            "takes no Tailscale SSH any more",
        );
        switched(
            "blocks_incoming",
            (old.blocks_incoming, new.blocks_incoming),
            "takes no connections from others now",
            "takes connections from others again",
        );
        switched(
            "ephemeral",
            (old.ephemeral, new.ephemeral),
            "goes when it disconnects now",
            "stays when it disconnects now",
        );
        switched(
            "withholds_posture",
            (old.withholds_posture, new.withholds_posture),
            "no longer tells its serial number",
            "tells its serial number now",
        );
    }

    /// Serial numbers; an empty list means that they are unknown.
    fn hardware(&mut self, old: &DeviceState, new: &DeviceState) {
        let (was, is): (Vec<_>, Vec<_>) =
            (old.serial_numbers.iter().collect(), new.serial_numbers.iter().collect());
        if !was.is_empty() && !is.is_empty() && was != is {
            let what = format!("has the serial number {} now, before {}", join_list(&is), join_list(&was));
            self.push(Kind::DeviceChanged, "serial_numbers", what);
        }
    }
}
