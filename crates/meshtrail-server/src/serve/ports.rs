//! The connection limits of each port, and the share of one peer.

use meshtrail_listen::descriptors::{self, DescriptorPlan};
use meshtrail_listen::{Limits, Metrics, PortSlots};
use meshtrail_recording::RecordingConfig;

use crate::config::Config;

/// Concurrent connections and requests of the console and the API, and streams on one connection.
const CONNECTIONS: usize = 2048;
const REQUESTS: usize = 4096;
const STREAMS: u32 = 64;

/// The limits of every port.
pub(super) struct Ports {
    pub(super) limits: Limits,
    pub(super) console: PortSlots,
    /// The most connections of each receiver.
    pub(super) receiver: usize,
    /// The most connections of the recorder.
    pub(super) recorder: usize,
}

impl Ports {
    /// Raises the limit of file descriptors and divides them among the ports that `config` names.
    pub(super) fn within_descriptors(config: &Config, receivers: usize) -> Ports {
        let limit = descriptors::raise().unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the limit of open files could not be raised");
            None
        });
        let wire = config.postgres.as_ref().map(|wire| wire.connections * 2);
        let wanted_by_recorder = match config.recorder_listen.is_empty() {
            true => 0,
            false => RecordingConfig::default().max_connections,
        };
        let mut others = vec![CONNECTIONS];
        others.extend((0..receivers).map(|_| meshtrail_collect::receive::MAX_CONNECTIONS));
        others.extend(wire);
        let plan = DescriptorPlan::divide(limit, wanted_by_recorder, &others);
        if let Some(needed) = plan.missing {
            tracing::warn!(
                limit,
                needed,
                recorder = plan.recorder,
                others = plan.others.iter().sum::<usize>(),
                "fewer open files are allowed than connections are: there will be so many for the recorder and for \
                 all other ports. Raise the hard limit (LimitNOFILE= of the unit)"
            );
        }
        let metrics = Metrics::default();
        register_process_metrics(&metrics, limit);
        let limits = Limits { shares: config.shares.clone(), metrics };
        let console = PortSlots::new("console", plan.others[0], REQUESTS, STREAMS, &limits);
        let receiver = if receivers > 0 { plan.others[1] } else { 0 };
        Ports { limits, console, receiver, recorder: plan.recorder }
    }

    /// The recorder's configuration within these limits.
    pub(super) fn recording(&self) -> RecordingConfig {
        RecordingConfig::within(self.recorder, self.limits.clone())
    }
}

/// Registers the process metrics of Prometheus' own client libraries.
fn register_process_metrics(metrics: &Metrics, limit: Option<u64>) {
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    metrics.gauge("process_open_fds", "Open file descriptors.", &[], open);
    let max = limit.unwrap_or(u64::MAX);
    metrics.gauge("process_max_fds", "How many there may be.", &[], move || max);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    metrics.gauge("process_resident_memory_bytes", "Resident memory.", &[], resident);
}
