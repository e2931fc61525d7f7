//! Event kinds and their families. Kinds are declared before a source sends them, so that no source needs another model.
//!
//! Older versions stored a kind that they did not know yet under [`Family::Other`], and some under another family than
//! today's, [`Kind::stored_families`]: readers look into the files of these as well.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kinds that share one set of columns, and one Parquet file per segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Recorded sessions: their start and their end.
    Session,
    /// Marks that bind a recording's bytes to the trail while it runs.
    Recording,
    /// Logins and logouts on hosts.
    Login,
    /// Processes that ran on hosts.
    Process,
    /// What a session carried beside its screen: files, forwarded connections.
    Transfer,
    /// What an agent can and can't see on its host.
    Coverage,
    /// Kubernetes API requests.
    Kube,
    /// Network flows.
    Flow,
    /// What changed in the mesh: configuration, devices, users, policy, DNS, keys, routes.
    Config,
    /// Client log lines.
    Log,
    /// Findings.
    Finding,
    /// Alerts and deliveries: what was handed to others.
    Delivery,
    /// Meshtrail's own actions, and who viewed what.
    Meshtrail,
    /// Kinds from a newer version.
    Other,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 14] = [
        Self::Session,
        Self::Recording,
        Self::Login,
        Self::Process,
        Self::Transfer,
        Self::Coverage,
        Self::Kube,
        Self::Flow,
        Self::Config,
        Self::Log,
        Self::Finding,
        Self::Delivery,
        Self::Meshtrail,
        Self::Other,
    ];

    /// The name as it stands in a path: `family=flow`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Recording => "recording",
            Self::Login => "login",
            Self::Process => "process",
            Self::Transfer => "transfer",
            Self::Coverage => "coverage",
            Self::Kube => "kube",
            Self::Flow => "flow",
            Self::Config => "config",
            Self::Log => "log",
            Self::Finding => "finding",
            Self::Delivery => "delivery",
            Self::Meshtrail => "meshtrail",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! kinds {
    ($($family:ident { $($(#[$meta:meta])* $variant:ident = $text:literal,)+ })+) => {
        crate::open_enum::open_enum! {
            /// What happened, in dotted words from general to particular.
            Kind { $($($(#[$meta])* $variant = $text,)+)+ }
        }

        impl Kind {
            /// The family whose columns hold this kind.
            pub fn family(&self) -> Family {
                match self {
                    $($(Self::$variant => Family::$family,)+)+
                    Self::Other(_) => Family::Other,
                }
            }
        }
    };
}

kinds! {
    Session {
        /// An SSH session began to be recorded.
        SshSessionStarted = "ssh.session.started",
        /// An SSH session ended and its recording is complete.
        SshSessionEnded = "ssh.session.ended",
        /// An SSH session's recording could not be read as one.
        SshSessionFailed = "ssh.session.failed",
        /// An SSH session's upload was cut off; the received part is kept.
        SshSessionInterrupted = "ssh.session.interrupted",
        /// A Kubernetes exec or attach session began to be recorded.
        KubeSessionStarted = "kube.session.started",
        /// A Kubernetes session ended and its recording is complete.
        KubeSessionEnded = "kube.session.ended",
        /// A Kubernetes session's recording could not be read as one.
        KubeSessionFailed = "kube.session.failed",
        /// A Kubernetes session's upload was cut off; the received part is kept.
        KubeSessionInterrupted = "kube.session.interrupted",
    }
    Recording {
        /// The SHA-256 of a recording up to an offset, bound into the trail while it runs.
        RecordingMark = "recording.mark",
        /// A recording's bytes left the store by retention.
        RecordingRetired = "recording.retired",
    }
    Login {
        /// Somebody logged in on a host, or tried.
        SshLogin = "ssh.login",
        /// Somebody logged out of a host.
        SshLogout = "ssh.logout",
        /// A privilege was raised on a host (sudo, su).
        HostElevated = "host.elevated",
    }
    Process {
        /// A process began to run.
        ProcessStarted = "process.started",
        /// A process ended.
        ProcessExited = "process.exited",
    }
    Transfer {
        /// A file was copied to or from a host.
        FileTransferred = "file.transferred",
        /// A connection was forwarded through an SSH session, or asked to be.
        SshForwarded = "ssh.forwarded",
    }
    Coverage {
        /// What an agent can't see on its host, from when to when.
        HostCoverage = "host.coverage",
    }
    Kube {
        /// A Kubernetes API request is about to be forwarded.
        KubeRequestIntended = "kube.request.intended",
        /// A Kubernetes API request was answered.
        KubeRequestDone = "kube.request.done",
    }
    Flow {
        /// A connection was first seen.
        FlowOpened = "flow.opened",
        /// A connection ended.
        FlowClosed = "flow.closed",
        /// What a connection carried in a window of time.
        FlowCounted = "flow.counted",
    }
    Config {
        /// The tailnet's configuration changed (an audit log entry no finer kind fits).
        ConfigChanged = "config.changed",
        /// The whole state of one part of the configuration at one time.
        ConfigSnapshot = "config.snapshot",
        /// A device joined.
        DeviceAdded = "device.added",
        /// A device was removed.
        DeviceRemoved = "device.removed",
        /// A device was approved.
        DeviceApproved = "device.approved",
        /// A device lost its approval, or joined without.
        DeviceUnauthorized = "device.unauthorized",
        /// A device was renamed.
        DeviceRenamed = "device.renamed",
        /// A device's tags changed.
        DeviceTagged = "device.tagged",
        /// A device's owner changed.
        DeviceTransferred = "device.transferred",
        /// A device's addresses changed.
        DeviceAddressed = "device.addressed",
        /// A device has not been seen for a long time.
        DeviceUnseen = "device.unseen",
        /// A device whose node key expired is still connected.
        DeviceExpiredActive = "device.expired_active",
        /// A device was shared with another tailnet, or is no longer.
        DeviceShared = "device.shared",
        /// A device signed in to the control plane, for the first time or again: the record does not say which.
        DeviceSignedIn = "device.signed_in",
        /// A device signed out of the control plane.
        DeviceSignedOut = "device.signed_out",
        /// Anything else about a device changed.
        DeviceChanged = "device.changed",
        /// A user was added.
        UserAdded = "user.added",
        /// A user was removed.
        UserRemoved = "user.removed",
        /// A user was suspended.
        UserSuspended = "user.suspended",
        /// A user was restored.
        UserRestored = "user.restored",
        /// A user's role changed.
        UserRoleChanged = "user.role_changed",
        /// A user was invited.
        UserInvited = "user.invited",
        /// An invitation was accepted.
        UserInviteAccepted = "user.invite_accepted",
        /// A user signed in to the control plane.
        UserLogin = "user.login",
        /// A user signed out of the control plane.
        UserLogout = "user.logout",
        /// Anything else about a user changed.
        UserChanged = "user.changed",
        /// The policy file changed.
        PolicyChanged = "policy.changed",
        /// The policy's own tests ran.
        PolicyTested = "policy.tested",
        /// A tag was created.
        PolicyTagCreated = "policy.tag_created",
        /// A tag was deleted.
        PolicyTagDeleted = "policy.tag_deleted",
        /// DNS settings changed.
        DnsChanged = "dns.changed",
        /// A key was created: node, auth or API key.
        KeyCreated = "key.created",
        /// A node key was registered.
        KeyRegistered = "key.registered",
        /// A node key was renewed by signing in again.
        KeyRenewed = "key.renewed",
        /// Anything else about a key changed: what it may do, its description, that it was used.
        KeyChanged = "key.changed",
        /// A key expired.
        KeyExpired = "key.expired",
        /// A key was revoked or deleted.
        KeyRevoked = "key.revoked",
        /// A key's expiry was switched on or off.
        KeyExpiryChanged = "key.expiry_changed",
        /// A subnet route was advertised or withdrawn.
        RouteAdvertised = "route.advertised",
        /// A subnet route was enabled.
        RouteEnabled = "route.enabled",
        /// A subnet route was disabled.
        RouteDisabled = "route.disabled",
        /// A device became an exit node, or ceased to be one.
        RouteExitNodeChanged = "route.exit_node_changed",
        /// Billing settings changed.
        BillingChanged = "billing.changed",
        /// The identity behind an earlier event became known later.
        IdentityLearned = "identity.learned",
    }
    Log {
        /// A line of a client's log.
        LogLine = "log.line",
    }
    Finding {
        /// Detection, reconciliation or posture concluded something.
        FindingRaised = "finding.raised",
        /// A finding's count, severity or status changed.
        FindingChanged = "finding.changed",
    }
    Delivery {
        /// An alert went out.
        AlertSent = "alert.sent",
        /// An alert could not be sent.
        AlertFailed = "alert.failed",
        /// Events were handed to a destination.
        DeliveryDone = "delivery.done",
        /// Events could not be handed to a destination.
        DeliveryFailed = "delivery.failed",
    }
    Meshtrail {
        /// A Meshtrail server started.
        MeshtrailStarted = "meshtrail.started",
        /// A Meshtrail server stopped in order.
        MeshtrailStopped = "meshtrail.stopped",
        /// Somebody signed in, or tried.
        MeshtrailSignedIn = "meshtrail.signed_in",
        /// Somebody signed out.
        MeshtrailSignedOut = "meshtrail.signed_out",
        /// Somebody looked at a recording.
        MeshtrailViewed = "meshtrail.viewed",
        /// Somebody exported evidence.
        MeshtrailExported = "meshtrail.exported",
        /// Somebody imported a recording.
        MeshtrailImported = "meshtrail.imported",
        /// Somebody ended a session.
        MeshtrailKilled = "meshtrail.killed",
        /// A detection or alert rule changed.
        MeshtrailRuleChanged = "meshtrail.rule_changed",
        /// Meshtrail's own configuration changed, tokens among it.
        MeshtrailConfigChanged = "meshtrail.config_changed",
        /// A legal hold was placed.
        MeshtrailHoldPlaced = "meshtrail.hold_placed",
        /// A legal hold was lifted.
        MeshtrailHoldLifted = "meshtrail.hold_lifted",
        /// Retention dropped segments.
        MeshtrailRetired = "meshtrail.retired",
        /// A source sent something for the first time, or again after silence.
        MeshtrailSourceConnected = "meshtrail.source_connected",
        /// A source has sent nothing for too long.
        MeshtrailSourceSilent = "meshtrail.source_silent",
        /// A source's sequence has a hole, or events were dropped as policy allows.
        MeshtrailSourceGap = "meshtrail.source_gap",
        /// The statement of a day was made: what has evidence, and what has none.
        MeshtrailStatementMade = "meshtrail.statement_made",
        /// A silence began, changed or ended: its findings send no alerts.
        MeshtrailSilenceChanged = "meshtrail.silence_changed",
        /// An exception of a rule began, changed or ended.
        MeshtrailExceptionChanged = "meshtrail.exception_changed",
        /// A person was erased.
        MeshtrailPersonErased = "meshtrail.person_erased",
        /// A witness refused to cosign a checkpoint.
        MeshtrailWitnessRefused = "meshtrail.witness_refused",
    }
}

impl Kind {
    /// The families in whose files events of this kind are: its own, and one that an older version had for it.
    pub fn stored_families(&self) -> impl Iterator<Item = Family> + use<> {
        let family = self.family();
        std::iter::once(family).chain((family == Family::Delivery).then_some(Family::Finding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_and_unknown_ones_keep_their_text() {
        for kind in Kind::KNOWN {
            assert_eq!(&Kind::from(kind.as_str()), kind);
            assert_ne!(kind.family(), Family::Other, "{kind}");
        }
        let newer = Kind::from("quantum.entangled");
        assert_eq!((newer.as_str(), newer.family()), ("quantum.entangled", Family::Other));
        let stored = |kind: Kind| kind.stored_families().collect::<Vec<_>>();
        assert_eq!(stored(Kind::AlertSent), [Family::Delivery, Family::Finding]);
        assert_eq!(stored(Kind::MeshtrailStarted), [Family::Meshtrail]);
    }
}
