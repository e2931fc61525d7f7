//! Polling for conditions, with a time limit.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The limit of a wait that would never end. A step can take this long while other load uses every core: tests do not
/// assert how fast it is.
pub const WAIT_LIMIT: Duration = Duration::from_secs(180);

/// Calls `check` until it returns a value; `what` is named in the error.
pub async fn until<T>(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = check().await {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
