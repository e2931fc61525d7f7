//! The header of a recording, as tailscaled and the Kubernetes API proxy write it.

use meshtrail_event::{Actor, Timestamp};
use serde_json::{Value, json};

use super::terminal::Screen;

/// What a node writes about a session in its header.
pub(crate) struct Header<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) account: &'a str,
    pub(crate) command: Option<&'a str>,
    pub(crate) started: Timestamp,
    pub(crate) connection: String,
    pub(crate) pod: Option<(&'a str, &'a str)>,
}

impl Header<'_> {
    /// The header's JSON.
    pub(crate) fn to_json(&self, screen: Screen) -> Value {
        let device = self.actor.device.clone().unwrap_or_default();
        let mut header = json!({
            "version": 2,
            "width": screen.width,
            "height": screen.height,
            "timestamp": self.started.as_seconds(),
            "srcNode": device.name,
            "srcNodeID": device.id,
            "env": {"TERM": "xterm-256color"},
        });
        if let Some(command) = self.command {
            header["command"] = command.into();
        }
        match &self.actor.person {
            Some(person) => header["srcNodeUser"] = person.login.as_str().into(),
            None => header["srcNodeTags"] = device.tags.clone().into(),
        }
        match self.pod {
            Some((namespace, pod)) => {
                header["kubernetes"] = json!({
                    "PodName": pod, "Namespace": namespace, "Container": "app", "SessionType": "exec",
                });
            }
            None => {
                header["sshUser"] = self.account.into();
                header["localUser"] = self.account.into();
                header["connectionID"] = self.connection.as_str().into();
            }
        }
        header
    }
}

/// The form of times in connection ids: `20261114T032700`.
pub(crate) fn compact_time(at: Timestamp) -> String {
    at.to_string()[..19].replace(['-', ':'], "")
}
