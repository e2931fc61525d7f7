//! Who is behind an address, and who says so.
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
//! println!("{:?}, says {:?}, as of {}", resolution.actor, resolution.provider, resolution.as_of);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Resolver`]: asks every provider, remembers answers for a moment, and tells when they disagree.
//! - [`Connection`]: both ends of what was accepted; an address is an identity only on the way the mesh brings it.
//! - [`Resolution`]: the actor and device behind an address, how far they are known, by whom, as of when.
//! - [`ClaimCheck`]: what the providers say of a claim that a recording's header makes.
//! - [`OwnNode`]: this machine's own place in its tailnet, and where to listen on it.
//! - [`LocalApi`]: tailscaled's own account. [`Directory`]: a file's account.
//!
//! Never a guess: an address that no provider knows is unresolved, with the reason, and an account is only
//! ever about the address it was asked for. What an actor may do is not known here.

mod claim;
mod connection;
mod directory;
mod history;
mod kept;
mod local_api;
mod loopback;
mod own_node;
mod resolution;
mod resolver;
mod state;
mod subject;

pub use claim::ClaimCheck;
pub use connection::Connection;
pub use directory::{Directory, DirectoryError, DirectoryFile, DirectoryState};
pub use history::{
    DeviceFacts, Ends, History, Known, KnownPerson, Period, PersonFacts, Prefix, Presence, Routed, Says,
    Tenure, Texts,
};
pub use local_api::{
    BackendState, Bus, CurrentTailnet, DEFAULT_SOCKET, DEFAULT_TIMEOUT, LocalApi, LocalApiError, Node, Peers,
    Status, StatusPeer, UserProfile, WhoIs, is_tailnet_address,
};
pub use own_node::{Arrival, OwnNode};
pub use resolution::{Resolution, Standing, Unresolved};
pub use resolver::{AskAbout, Resolver, ResolverConfig};
pub use state::{DeviceState, UserState};
pub use subject::{Contradiction, Owner, Provider, Subject};
