//! Work that goes on to its end even if whoever waits for it goes away.

use tokio::task::JoinHandle;

/// What comes of a task; its panic is the waiter's.
pub(crate) async fn joined<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the runtime cancels it, and whoever waits ends with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
