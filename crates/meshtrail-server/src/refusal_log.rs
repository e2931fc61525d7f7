//! Log lines about refused requests, folded: whoever is refused can ask again as fast as they like, and must neither fill
//! a disk with log lines nor hide the lines that matter.
//!
//! Of each kind of refusal the first [`LINES`] in a window of [`WINDOW`] have a line each. The others are counted, and
//! one line tells how many there were when the window ends. Kinds are counted apart: a flood of requests without
//! credentials hides nothing about those with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many refusals of a kind have a line of their own in a window.
const LINES: u32 = 10;

/// How long refusals of a kind are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// The kinds of refusals, and how many of each there were lately. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct RefusalLog {
    window: Duration,
    /// By kind, of which there are as many as the code names. Never held across an await.
    windows: Arc<Mutex<HashMap<&'static str, Window>>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    seen: u32,
    last_peer: Option<SocketAddr>,
}

/// What becomes of one refusal's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is written.
    Written,
    /// It is the first that is only counted: the count is due when the window ends.
    Counted { until: Instant },
    /// It is counted with others.
    CountedToo,
}

impl Default for RefusalLog {
    fn default() -> RefusalLog {
        RefusalLog { window: WINDOW, windows: Arc::default() }
    }
}

impl RefusalLog {
    /// Whether a refusal of this kind has a line of its own. Must be called within a tokio runtime.
    pub(crate) fn admits(&self, kind: &'static str, peer: Option<SocketAddr>) -> bool {
        match self.note(kind, peer, Instant::now()) {
            Fate::Written => true,
            Fate::CountedToo => false,
            Fate::Counted { until } => {
                let log = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(until.into()).await;
                    log.write_count(kind);
                });
                false
            }
        }
    }

    fn note(&self, kind: &'static str, peer: Option<SocketAddr>, now: Instant) -> Fate {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(kind).or_insert(Window { began: now, seen: 0, last_peer: None });
        // One with a count that is due stays until that was told.
        if window.seen <= LINES && now.duration_since(window.began) >= self.window {
            *window = Window { began: now, seen: 0, last_peer: None };
        }
        window.seen = window.seen.saturating_add(1);
        window.last_peer = peer.or(window.last_peer);
        match window.seen {
            1..=LINES => Fate::Written,
            seen if seen == LINES + 1 => Fate::Counted { until: window.began + self.window },
            _ => Fate::CountedToo,
        }
    }

    fn write_count(&self, kind: &'static str) {
        if let Some((count, last_peer)) = self.take_count(kind) {
            let last_peer = last_peer.map(tracing::field::display);
            tracing::info!(
                kind,
                count,
                last_peer,
                "more requests were refused for the same reason, which have no line each"
            );
        }
    }

    /// How many have no line of their own since the window began; a new window begins with the next.
    fn take_count(&self, kind: &'static str) -> Option<(u32, Option<SocketAddr>)> {
        let window = self.windows.lock().unwrap_or_else(PoisonError::into_inner).remove(kind)?;
        Some((window.seen.saturating_sub(LINES), window.last_peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(log: &RefusalLog, kind: &'static str, times: u32, now: Instant) -> u32 {
        (0..times).map(|_| u32::from(log.note(kind, None, now) == Fate::Written)).sum()
    }

    #[test]
    fn a_flood_of_one_kind_has_a_few_lines_and_a_count_and_hides_no_other() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        assert_eq!(written(&log, "not-signed-in", LINES, now), LINES);
        let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
        let first_counted = log.note("not-signed-in", Some(peer), now);
        assert_eq!(first_counted, Fate::Counted { until: now + WINDOW });
        assert_eq!(written(&log, "not-signed-in", 4_000, now), 0);
        assert_eq!(written(&log, "forbidden", 1, now), 1);
        assert_eq!(log.take_count("not-signed-in"), Some((4_001, Some(peer))));
        assert_eq!(written(&log, "not-signed-in", 3, now), 3, "the next window begins anew");
    }

    #[test]
    fn a_few_now_and_then_have_a_line_each_and_what_is_counted_waits_for_its_line() {
        let (log, mut now) = (RefusalLog::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(written(&log, "not-found", LINES, now), LINES);
            now += WINDOW;
        }
        assert_eq!(written(&log, "not-found", LINES + 1, now), LINES);
        assert_eq!(written(&log, "not-found", 1, now + WINDOW), 0, "the count is not told yet");
        assert_eq!(log.take_count("not-found"), Some((2, None)));
    }

    #[tokio::test]
    async fn the_count_is_written_when_the_window_ends_though_nobody_asks_any_more() {
        let log = RefusalLog { window: Duration::from_millis(50), ..RefusalLog::default() };
        while log.admits("not-signed-in", None) {}
        while !log.windows.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
