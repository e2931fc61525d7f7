//! Playing in time: when each line of a recording is due, and what the keys do.
//!
//! [`Clock`] decides from instants that it is given, so that pausing and speed are tested without waiting.

use std::time::{Duration, Instant};

/// The slowest and the fastest that keys reach.
const SPEEDS: (f64, f64) = (0.125, 64.0);

/// Maps a recording's time to ours.
#[derive(Debug)]
pub(crate) struct Clock {
    speed: f64,
    idle_limit: Option<f64>,
    paused: bool,
    /// Where in the recording (pauses cut) we were at `since`.
    position: f64,
    since: Instant,
    last_at: Option<f64>,
    /// Seconds cut from pauses so far.
    cut: f64,
}

impl Clock {
    /// A clock that runs from `now`.
    pub(crate) fn new(speed: f64, idle_limit: Option<Duration>, now: Instant) -> Clock {
        let idle_limit = idle_limit.map(|limit| limit.as_secs_f64());
        Clock { speed, idle_limit, paused: false, position: 0.0, since: now, last_at: None, cut: 0.0 }
    }

    /// Takes the next line's time; returns when it is due on this clock, in recorded seconds with pauses cut.
    pub(crate) fn due(&mut self, at: f64) -> f64 {
        let at = if at.is_finite() { at } else { self.last_at.unwrap_or(0.0) };
        // The first line sets where the recording begins: what is before it is not waited for.
        let last = *self.last_at.get_or_insert(at);
        if self.cut == 0.0 && self.position == 0.0 && last == at {
            self.cut = at;
        }
        if let Some(limit) = self.idle_limit {
            self.cut += (at - last - limit).max(0.0);
        }
        self.last_at = Some(at.max(last));
        at.max(last) - self.cut
    }

    /// How long to wait from `now` until `due`; none while paused.
    pub(crate) fn wait(&self, due: f64, now: Instant) -> Option<Duration> {
        if self.paused {
            return None;
        }
        let ahead = (due - self.at(now)) / self.speed;
        Some(Duration::try_from_secs_f64(ahead.max(0.0)).unwrap_or(Duration::MAX))
    }

    /// Where playing is.
    pub(crate) fn at(&self, now: Instant) -> f64 {
        if self.paused {
            self.position
        } else {
            self.position + (now - self.since).as_secs_f64() * self.speed
        }
    }

    /// Pauses, or goes on.
    pub(crate) fn toggle(&mut self, now: Instant) {
        self.settle(now);
        self.paused = !self.paused;
    }

    /// Goes to `due` at once, when paused: one step.
    pub(crate) fn step_to(&mut self, due: f64, now: Instant) {
        self.settle(now);
        if self.paused {
            self.position = self.position.max(due);
        }
    }

    /// Multiplies the speed.
    pub(crate) fn change_speed(&mut self, factor: f64, now: Instant) {
        self.settle(now);
        self.speed = (self.speed * factor).clamp(SPEEDS.0, SPEEDS.1);
    }

    /// One line about how playing stands.
    pub(crate) fn status(&self, title: &str, now: Instant) -> String {
        let seconds = self.at(now).max(0.0);
        let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
        let state = if self.paused { "paused" } else { "playing" };
        format!(" {title}  {minutes:02.0}:{rest:04.1}  {}x  {state}  space + - . q ", self.speed)
    }

    fn settle(&mut self, now: Instant) {
        self.position = self.at(now);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn lines_are_due_at_their_time_divided_by_the_speed() {
        let start = Instant::now();
        let mut clock = Clock::new(2.0, None, start);
        assert_eq!(clock.due(0.0), 0.0);
        let due = clock.due(4.0);
        assert_eq!(clock.wait(due, start), Some(2 * SECOND));
        assert_eq!(clock.wait(due, start + 3 * SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn long_pauses_are_cut_and_a_time_that_goes_back_is_due_at_once() {
        let mut clock = Clock::new(1.0, Some(SECOND), Instant::now());
        assert_eq!(clock.due(0.0), 0.0);
        assert_eq!(clock.due(100.0), 1.0);
        assert_eq!(clock.due(100.5), 1.5);
        assert_eq!(clock.due(3.0), 1.5);
        assert_eq!(clock.due(f64::NAN), 1.5);
    }

    #[test]
    fn a_pause_stops_the_clock_and_a_step_moves_it() {
        let start = Instant::now();
        let mut clock = Clock::new(1.0, None, start);
        clock.due(0.0);
        clock.toggle(start + SECOND);
        assert_eq!(clock.wait(5.0, start + 60 * SECOND), None);
        clock.step_to(5.0, start + 60 * SECOND);
        clock.toggle(start + 61 * SECOND);
        assert_eq!(clock.wait(6.0, start + 61 * SECOND), Some(SECOND));
    }
}
