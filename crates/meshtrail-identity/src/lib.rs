//! Resolves addresses to devices and people, and names the provider of each answer.
//!
//! ```no_run
//! # async fn example(stream: &tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! use meshtrail_identity::{Connection, DEFAULT_SOCKET, DirectoryFile, Resolver, ResolverConfig};
//!
//! let config = ResolverConfig {
//!     socket: Some(DEFAULT_SOCKET.into()),
//!     directory: Some(DirectoryFile::open("directory.toml")?),
//!     ..ResolverConfig::default()
//! };
//! let resolver = Resolver::start(config);
//! let connection = Connection { peer: stream.peer_addr()?, local: Some(stream.local_addr()?) };
//! let resolution = resolver.who(connection).await;
//! println!("{:?}, provider {:?}, as of {}", resolution.actor, resolution.provider, resolution.as_of);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Resolver`]: queries all providers, caches their answers for some seconds, and reports when they disagree.
//! - [`Connection`]: both ends of an accepted connection. An address identifies its device only if the mesh delivered the
//!   connection.
//! - [`Resolution`]: the actor and device behind an address, with status, provider and time.
//! - [`ClaimCheck`]: the result of checking a recording header's claim against the providers.
//! - [`OwnNode`]: this machine's node in its tailnet, and the addresses to listen on.
//! - [`History`]: devices and people over time, from the trail's events.
//! - [`LocalApi`]: a client of tailscaled's LocalAPI. [`Directory`]: the directory file.
//!
//! Nothing is guessed: an address that no provider knows is unresolved, with the reason, and an answer is only about the
//! address that was queried. What an actor may do is not known here.

mod answer_cache;
mod claim;
mod connection;
mod directory;
mod history;
mod local_api;
mod loopback;
mod own_node;
mod resolution;
mod resolver;
mod subject;

pub use claim::ClaimCheck;
pub use connection::Connection;
pub use directory::{Directory, DirectoryError, DirectoryFile, DirectoryState};
pub use history::{
    DeviceAsOf, DeviceFacts, EventAddresses, History, ImageError, OriginAccount, Period, PersonAsOf,
    PersonFacts, Prefix, Presence, SubnetRoute, Tenure, Texts,
};
pub use local_api::{
    BackendState, Bus, CurrentTailnet, DEFAULT_SOCKET, DEFAULT_TIMEOUT, LocalApi, LocalApiError, Node, Peers,
    Status, StatusPeer, UserProfile, WhoIs, is_tailnet_address,
};
pub use own_node::{Arrival, OwnNode};
pub use resolution::{Resolution, ResolutionStatus, Unresolved};
pub use resolver::{QueryScope, Resolver, ResolverConfig};
pub use subject::{Contradiction, Owner, Provider, Subject};
