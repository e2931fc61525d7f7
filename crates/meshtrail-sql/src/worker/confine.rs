//! Confinement of a worker, set by itself before it reads anything.
//!
//! - The kernel limits address space, processor time, open files and the length of files; there is no core dump.
//! - It runs at a low priority.
//! - seccomp refuses system calls for sockets, starting programs and inspecting other processes; Landlock refuses files
//!   outside the spill folder, and ports. A kernel without Landlock is reported to the server; the rest holds without it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};
use meshtrail_worker::message::Setup;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use super::file_cache::MAX_OPEN;

/// The nice value: recorders and pages come first.
const NICE: i32 = 10;
/// Open files: sockets, threads' wake-up descriptors, spilled files, and those that the server sends.
const OPEN_FILES: u64 = 1024 + MAX_OPEN as u64;
/// Processor time before the first query: for reading ahead.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// System calls that no query needs.
const FORBIDDEN: [i64; 31] = [
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_open_by_handle_at,
    libc::SYS_reboot,
];

/// Why a worker could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("a limit of the kernel can't be set")]
    Limit(#[source] io::Error),
    #[error("system calls can't be filtered")]
    Seccomp(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("files can't be closed off")]
    Landlock(#[from] RulesetError),
}

/// Confines this process; returns a description of what is in force.
pub(super) fn confine(setup: &Setup) -> Result<String, ConfineError> {
    let files = getrlimit(Resource::Nofile).maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    for (resource, most) in [
        (Resource::As, setup.address_space),
        (Resource::Core, 0),
        (Resource::Nofile, files),
        (Resource::Fsize, setup.spill_bytes),
    ] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| ConfineError::Limit(error.into()))?;
    }
    allow_processor(IDLE_TIME);
    // The priority is no part of the confinement.
    let _nice = setpriority_process(None, NICE);
    rustix::thread::set_no_new_privs(true).map_err(|error| ConfineError::Limit(error.into()))?;
    let files = close_files(setup)?;
    filter_calls()?;
    Ok(format!("limits, seccomp{files}"))
}

fn close_files(setup: &Setup) -> Result<&'static str, ConfineError> {
    let abi = ABI::V5;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules([&setup.spill], AccessFs::from_all(abi)))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => ", Landlock",
        RulesetStatus::PartiallyEnforced => ", Landlock in part",
        RulesetStatus::NotEnforced => "",
    })
}

fn filter_calls() -> Result<(), ConfineError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ConfineError::Seccomp(error);
    let architecture =
        TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(Box::new(error)))?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)
        .map_err(|error| failed(Box::new(error)))?;
    let program: BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| failed(Box::new(error)))?;
    apply_filter(&program).map_err(|error| failed(Box::new(error)))
}

/// Allows this process `time` more of processor time, after which the kernel kills it.
pub(super) fn allow_processor(time: Duration) {
    let taken = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let until = u64::try_from(taken).unwrap_or(0).saturating_add(time.as_secs().max(1)).saturating_add(1);
    let maximum = getrlimit(Resource::Cpu).maximum;
    let current = maximum.map_or(until, |maximum| until.min(maximum));
    // If it can't be set, the server's timer still applies.
    let _limited = setrlimit(Resource::Cpu, Rlimit { current: Some(current), maximum });
}
