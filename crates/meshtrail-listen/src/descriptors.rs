//! File descriptors: how many this process may have, and which port gets how many of them.
//!
//! - The soft limit is raised to the hard one at start: systemd's default is 1,024, which one flood uses up.
//! - Connections are bounded so that all of them together fit, with [`OWN`] left for files and this program's own
//!   connections. Where there are too few, the recorder comes first: it has three quarters, the other ports the rest.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the log, segments, listeners, a bucket, tailscaled: what is open beside connections.
pub const OWN: u64 = 512;

/// Raises the limit of open descriptors as far as it goes; how many there may be. Nothing where there is no limit.
pub fn raise() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(limit.current);
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum)
}

/// How many connections each port may have at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The recorder's.
    pub recorder: usize,
    /// The other ports', in the order in which they were asked for.
    pub others: Vec<usize>,
    /// Descriptors that would be needed for all that was asked for, where there are fewer.
    pub missing: Option<u64>,
}

impl Plan {
    /// Divides `limit` descriptors; `recorder` and `others` are what is wanted.
    pub fn within(limit: Option<u64>, recorder: usize, others: &[usize]) -> Plan {
        let wanted_of_others: u64 = others.iter().map(|&wanted| wanted as u64).sum();
        let needed = OWN + recorder as u64 + wanted_of_others;
        let Some(limit) = limit.filter(|limit| *limit < needed) else {
            return Plan { recorder, others: others.to_vec(), missing: None };
        };
        let free = limit - OWN.min(limit / 4);
        let first = (recorder as u64).min((free * 3 / 4).max(free.saturating_sub(wanted_of_others)));
        let rest = free - first;
        let part = |wanted: usize| {
            let part = wanted as u64 * rest / wanted_of_others.max(1);
            usize::try_from(part).unwrap_or(wanted).clamp(1, wanted.max(1))
        };
        Plan {
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
        let wanted = Plan { recorder: 21_024, others: vec![2048, 1024], missing: None };
        assert_eq!(Plan::within(Some(524_288), 21_024, &[2048, 1024]), wanted);
        assert_eq!(Plan::within(None, 21_024, &[2048, 1024]), wanted);
    }

    #[test]
    fn too_few_keep_a_reserve_for_the_recorder_and_never_add_up_to_more() {
        for limit in [64, 256, 1024, 4096, 20_000] {
            let plan = Plan::within(Some(limit), 21_024, &[2048, 1024, 64]);
            let others: usize = plan.others.iter().sum();
            assert!(plan.missing.is_some());
            assert!(plan.recorder >= others * 2, "{limit}: {plan:?}");
            assert!((plan.recorder + others) as u64 <= limit - OWN.min(limit / 4), "{limit}: {plan:?}");
            assert!(plan.others.iter().all(|&one| one > 0), "{limit}: {plan:?}");
        }
        let without = Plan::within(Some(1024), 0, &[2048]);
        assert_eq!((without.recorder, without.others[0]), (0, 768));
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let most = raise().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, most), (now.maximum, now.maximum));
    }
}
