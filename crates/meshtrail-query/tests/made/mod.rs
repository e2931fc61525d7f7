//! A trail of made-up events, some of them in segments and some still in the log.

use std::path::Path;

use meshtrail_event::Event;
use meshtrail_trail::store::{Store, WritePolicy};
use meshtrail_trail::{Trail, TrailConfig};

/// A trail of the events 1 to `count`.
pub(crate) async fn trail(folder: &Path, count: u64, event: impl Fn(u64) -> Event) -> Trail {
    let location = folder.join("store").to_str().unwrap().parse().unwrap();
    let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
    let config = TrailConfig { segment_events: 100, ..TrailConfig::new("main") };
    let trail = Trail::open(store, &folder.join("local"), config).await.unwrap();
    for batch in (1..=count).collect::<Vec<_>>().chunks(50) {
        trail.append(batch.iter().copied().map(&event).collect()).await.unwrap();
    }
    trail
}
