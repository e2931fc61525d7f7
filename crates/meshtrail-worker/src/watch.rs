//! Enforces the limits of memory and disk of all workers together, and counts workers.
//!
//! While any worker runs, the memory of each is measured every [`LOOK_INTERVAL`]; if the sum exceeds the limit, the largest
//! worker is killed. Address space is limited for each as well, so that a single allocation between two looks is bounded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::process::{KillReason, Killer};

/// The interval between two measurements.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Disk usage is measured every so many looks.
const DISK_LOOKS: u64 = 20;
/// Memory of an idle worker: its program, tables and threads. Not counted towards the limit.
pub(crate) const OWN_MEMORY: usize = 64 << 20;

/// Counts of workers, and of how they ended.
#[derive(Debug, Default)]
pub struct WorkerCounts {
    /// Processes that were started.
    pub started: AtomicU64,
    /// Processes that are running.
    pub running: AtomicU64,
    /// Queries that were answered completely.
    pub answered: AtomicU64,
    /// Processes that were killed or died while they ran a query.
    pub died: AtomicU64,
}

/// The running workers of one server.
#[derive(Debug, Clone)]
pub(crate) struct ResourceWatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: usize,
    disk: u64,
    members: Mutex<Members>,
    counts: WorkerCounts,
}

#[derive(Debug, Default)]
struct Members {
    by_id: HashMap<u32, (Killer, PathBuf)>,
    is_watched: bool,
}

/// The membership of one worker; dropping it removes the worker.
#[derive(Debug)]
pub(crate) struct Member {
    watch: ResourceWatch,
    id: u32,
}

impl ResourceWatch {
    /// Limits all workers together to `memory` and `disk` bytes.
    pub(crate) fn new(memory: usize, disk: u64) -> Self {
        let counts = WorkerCounts::default();
        Self(Arc::new(Inner { memory, disk, members: Mutex::default(), counts }))
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.memory
    }

    pub(crate) fn counts(&self) -> &WorkerCounts {
        &self.0.counts
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: u32, killer: Killer, spill: PathBuf) -> Member {
        self.0.counts.started.fetch_add(1, Ordering::Relaxed);
        self.0.counts.running.fetch_add(1, Ordering::Relaxed);
        let mut members = self.members();
        members.by_id.insert(id, (killer, spill));
        if !std::mem::replace(&mut members.is_watched, true) {
            tokio::spawn(self.clone().run());
        }
        Member { watch: self.clone(), id }
    }

    async fn run(self) {
        let mut looks = 0;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let members: Vec<(u32, Killer, PathBuf)> = {
                let mut members = self.members();
                if members.by_id.is_empty() {
                    members.is_watched = false;
                    return;
                }
                members
                    .by_id
                    .iter()
                    .map(|(id, (killer, spill))| (*id, killer.clone(), spill.clone()))
                    .collect()
            };
            let memory: Vec<u64> = members
                .iter()
                .map(|(id, ..)| private_memory(*id).saturating_sub(OWN_MEMORY as u64))
                .collect();
            if let Some(most) = largest_over(&memory, self.0.memory as u64) {
                members[most].1.kill(KillReason::Memory(self.0.memory));
            }
            looks += 1;
            if looks % DISK_LOOKS == 0 {
                let disk: Vec<u64> = members.iter().map(|(_, _, spill)| folder_bytes(spill)).collect();
                if let Some(most) = largest_over(&disk, self.0.disk) {
                    members[most].1.kill(KillReason::Disk(self.0.disk));
                }
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let gone = self.watch.members().by_id.remove(&self.id);
        drop(gone);
        self.watch.0.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The index of the largest of `parts`, if their sum exceeds `whole`.
fn largest_over(parts: &[u64], whole: u64) -> Option<usize> {
    let sum: u64 = parts.iter().sum();
    let most = parts.iter().enumerate().max_by_key(|(_, part)| **part)?;
    (sum > whole).then_some(most.0)
}

/// Private memory of a process, in bytes; 0 if it is gone. Pages shared with other processes or mapped from its program's
/// file don't count.
fn private_memory(id: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
    let mut pages = statm.split(' ').skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * rustix::param::page_size() as u64
}

/// The total size of the files below a folder.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_to_go_once_all_together_are_too_much() {
        assert_eq!(largest_over(&[], 10), None);
        assert_eq!(largest_over(&[3, 4, 3], 10), None);
        assert_eq!(largest_over(&[3, 5, 3], 10), Some(1));
    }

    #[test]
    fn what_a_process_holds_is_read_from_the_kernel() {
        let held = vec![1u8; 8 << 20];
        assert!(private_memory(std::process::id()) > 4 << 20);
        drop(held);
        assert_eq!(private_memory(0), 0);
    }

    #[test]
    fn files_below_a_folder_are_counted_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), [0; 300]).unwrap();
        std::fs::write(folder.path().join("c"), [0; 20]).unwrap();
        assert_eq!(folder_bytes(folder.path()), 320);
    }
}
