//! Work that runs to its end even if the future that awaits it is dropped: a write must not stop half-way because its
//! sender hung up.

use tokio::task::JoinHandle;

/// Awaits a spawned task, which runs on if this future is dropped. A panic of the task is resumed here.
pub async fn run_detached<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(output) => output,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the shutdown of the runtime cancels the task, and the caller is dropped with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

/// Runs work that blocks on a thread for that; it ends even if this future is dropped. A panic of it is resumed here.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    run_detached(tokio::task::spawn_blocking(work)).await
}
