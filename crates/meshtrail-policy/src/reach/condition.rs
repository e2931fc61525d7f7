//! Conditions of reach that nobody can evaluate here.

use std::fmt;

use crate::address::Prefix;
use crate::directory::Hindrance;

/// What would have to be so for a connection to be possible.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReachCondition {
    /// The person is in one of these sources, of which it is not known who is in them.
    Membership {
        /// The source as the rule writes it.
        source: String,
    },
    /// The device has the posture.
    Posture {
        /// What is not known, in words.
        reason: String,
    },
    /// The members of the rule that are not known here are met.
    UnknownMembers {
        /// Their names.
        members: Vec<String>,
    },
    /// A device that takes no part in the mesh does.
    Device {
        /// Its name.
        device: String,
        /// Why it takes none.
        hindrance: Hindrance,
    },
    /// A device that refuses incoming connections accepts them.
    BlocksIncoming {
        /// Its name.
        device: String,
    },
    /// The policy of the other tailnet, from which a device was shared in, lets them through as well.
    OtherTailnet {
        /// The device's name.
        device: String,
    },
    /// The target is shared with the person.
    SharedWith {
        /// The person's login.
        login: String,
    },
    /// A route that is only advertised is approved.
    RouteInForce {
        /// The route.
        route: Prefix,
        /// The router's name.
        router: String,
    },
    /// A router serves the network: with one of the tags, if the rule names some.
    Router {
        /// The tags; empty if any router will do.
        tags: Vec<String>,
        /// The network, as it is written.
        network: String,
    },
    /// Somebody knows which devices host the service.
    Service {
        /// `svc:name`.
        service: String,
    },
}

impl fmt::Display for ReachCondition {
    /// The words after "could, if".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Membership { source } => write!(f, "the person is in {source}, which is not known"),
            Self::Posture { reason } => write!(f, "the device has the posture ({reason})"),
            Self::UnknownMembers { members } => {
                write!(f, "members of the rule that are not known here are met: {}", members.join(", "))
            }
            Self::Device { device, hindrance } => {
                write!(f, "{device} takes part in the mesh (it {hindrance})")
            }
            Self::BlocksIncoming { device } => write!(f, "{device} accepts incoming connections"),
            Self::OtherTailnet { device } => {
                write!(f, "the tailnet that {device} was shared from lets them through as well")
            }
            Self::SharedWith { login } => write!(f, "it is shared with {login}"),
            Self::RouteInForce { route, router } => write!(f, "the route {route} of {router} is approved"),
            Self::Router { tags, network } if tags.is_empty() => write!(f, "a router serves {network}"),
            Self::Router { tags, network } => {
                write!(f, "a router with {} serves {network}", tags.join(" or "))
            }
            Self::Service { service } => write!(f, "it hosts {service}"),
        }
    }
}
