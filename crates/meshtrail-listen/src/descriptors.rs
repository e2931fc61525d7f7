//! The limit of file descriptors, and its division among ports.
//!
//! - The soft limit is raised to the hard limit at start: systemd's default is 1,024, which one flood uses up.
//! - The limits on connections are lowered so that all of them together fit, with [`RESERVED`] left for files and outgoing
//!   connections. If there are too few, the recorder gets up to three quarters, the other ports the rest.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections: the log, segments, listeners, a bucket, tailscaled.
pub const RESERVED: u64 = 512;

/// Raises the limit of open descriptors to its maximum and returns it; none if there is no limit.
pub fn raise() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(limit.current);
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum)
}

/// The number of connections that each port may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptorPlan {
    /// The recorder's connections.
    pub recorder: usize,
    /// The other ports' connections, in the order of the request.
    pub others: Vec<usize>,
    /// The number of descriptors that the request needs, if there are fewer.
    pub missing: Option<u64>,
}

impl DescriptorPlan {
    /// Divides `limit` descriptors among the requested numbers of connections.
    pub fn divide(limit: Option<u64>, recorder: usize, others: &[usize]) -> DescriptorPlan {
        let wanted_of_others: u64 = others.iter().map(|&wanted| wanted as u64).sum();
        let needed = RESERVED + recorder as u64 + wanted_of_others;
        let Some(limit) = limit.filter(|limit| *limit < needed) else {
            return DescriptorPlan { recorder, others: others.to_vec(), missing: None };
        };
        let free = limit - RESERVED.min(limit / 4);
        let first = (recorder as u64).min((free * 3 / 4).max(free.saturating_sub(wanted_of_others)));
        let rest = free - first;
        let part = |wanted: usize| {
            let part = wanted as u64 * rest / wanted_of_others.max(1);
            usize::try_from(part).unwrap_or(wanted).clamp(1, wanted.max(1))
        };
        DescriptorPlan {
            recorder: usize::try_from(first).unwrap_or(recorder),
            others: others.iter().map(|&wanted| part(wanted)).collect(),
            missing: Some(needed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_descriptors_change_nothing() {
        let wanted = DescriptorPlan { recorder: 21_024, others: vec![2048, 1024], missing: None };
        assert_eq!(DescriptorPlan::divide(Some(524_288), 21_024, &[2048, 1024]), wanted);
        assert_eq!(DescriptorPlan::divide(None, 21_024, &[2048, 1024]), wanted);
    }

    #[test]
    fn too_few_keep_a_reserve_for_the_recorder_and_never_add_up_to_more() {
        for limit in [64, 256, 1024, 4096, 20_000] {
            let plan = DescriptorPlan::divide(Some(limit), 21_024, &[2048, 1024, 64]);
            let others: usize = plan.others.iter().sum();
            assert!(plan.missing.is_some());
            assert!(plan.recorder >= others * 2, "{limit}: {plan:?}");
            assert!((plan.recorder + others) as u64 <= limit - RESERVED.min(limit / 4), "{limit}: {plan:?}");
            assert!(plan.others.iter().all(|&one| one > 0), "{limit}: {plan:?}");
        }
        let without = DescriptorPlan::divide(Some(1024), 0, &[2048]);
        assert_eq!((without.recorder, without.others[0]), (0, 768));
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let most = raise().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, most), (now.maximum, now.maximum));
    }
}
