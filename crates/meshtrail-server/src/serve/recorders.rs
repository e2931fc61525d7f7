//! The recorder's listeners, opened and closed as the node's addresses appear and disappear.
//!
//! - A fixed address that can't be bound is an error at start.
//! - `tailscale:PORT` follows the node's own addresses: it waits for them, opens new ones, closes removed ones,
//!   and retries where binding failed.
//! - Sessions on an address that was removed end as interrupted; an outage of tailscaled changes nothing.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait before binding an address is retried.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A function that serves one listener until its token is cancelled.
pub type Serve =
    Arc<dyn Fn(TcpListener, CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Follows the node's addresses and serves `port` on each, until `stop`.
///
/// `listening` carries the addresses that are open now.
pub async fn follow(
    mut addresses: watch::Receiver<Vec<IpAddr>>,
    port: u16,
    serve: Serve,
    listening: watch::Sender<Vec<SocketAddr>>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let mut open: HashMap<SocketAddr, CancellationToken> = HashMap::new();
    if addresses.borrow().is_empty() {
        tracing::info!(
            port,
            "waiting for tailscaled to tell this node's addresses, to take recordings there"
        );
    }
    loop {
        let wanted: Vec<SocketAddr> =
            addresses.borrow_and_update().iter().map(|address| SocketAddr::new(*address, port)).collect();
        close_removed(&mut open, &wanted);
        let missing: Vec<SocketAddr> =
            wanted.into_iter().filter(|address| !open.contains_key(address)).collect();
        let mut all_open = true;
        for address in missing {
            match bind(address) {
                Ok(listener) => {
                    tracing::info!(%address, "taking recordings");
                    let closed = stop.child_token();
                    open.insert(address, closed.clone());
                    tasks.spawn(serve(listener, closed));
                }
                Err(error) => {
                    all_open = false;
                    tracing::warn!(%address, error = &error as &dyn std::error::Error, "can't listen for recordings here yet; trying again");
                }
            }
        }
        let mut now: Vec<SocketAddr> = open.keys().copied().collect();
        now.sort_unstable();
        listening.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        let again = if all_open { Duration::MAX } else { RETRY_DELAY };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(again) => {}
            changed = addresses.changed() => if changed.is_err() { stop.cancelled().await; break },
        }
    }
    tasks.close();
    tasks.wait().await;
}

fn close_removed(open: &mut HashMap<SocketAddr, CancellationToken>, wanted: &[SocketAddr]) {
    open.retain(|address, closed| {
        let keep = wanted.contains(address);
        if !keep {
            tracing::info!(%address, "the node has this address no more; recordings are not taken there");
            closed.cancel();
        }
        keep
    });
}

pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(meshtrail_listen::bind(address)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> Serve {
        Arc::new(|listener, closed| {
            Box::pin(async move {
                closed.cancelled().await;
                drop(listener);
            })
        })
    }

    #[tokio::test]
    async fn listeners_come_and_go_with_the_nodes_addresses() {
        let (sender, addresses) = watch::channel(Vec::new());
        let (listening, mut open) = watch::channel(Vec::new());
        let stop = CancellationToken::new();
        let port = bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap().port();
        let task = tokio::spawn(follow(addresses, port, idle(), listening, stop.clone()));

        let (one, two): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        sender.send(vec![one, two]).unwrap();
        let both = vec![SocketAddr::new(one, port), SocketAddr::new(two, port)];
        open.wait_for(|open| *open == both).await.unwrap();
        sender.send(vec![two]).unwrap();
        open.wait_for(|open| *open == both[1..]).await.unwrap();
        stop.cancel();
        task.await.unwrap();
    }
}
