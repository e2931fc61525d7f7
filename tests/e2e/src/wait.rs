//! Waiting for what has no event to wait for, with an end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Bounds a wait that never ends. A step may take this long beside a load that holds every core: nothing is asserted of
/// how quick it is.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again until there is an answer; the error says what was waited for.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
