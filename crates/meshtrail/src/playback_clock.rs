//! The clock of a playback: when each line of a recording is due, with pause, step and speed.
//!
//! [`PlaybackClock`] takes the current instant as an argument, so that tests need not wait.

use std::time::{Duration, Instant};

/// The lowest and the highest speed that keys can set.
const SPEEDS: (f64, f64) = (0.125, 64.0);

/// Maps the time of a recording to the time of playback.
#[derive(Debug)]
pub(crate) struct PlaybackClock {
    speed: f64,
    idle_limit: Option<f64>,
    paused: bool,
    /// The position in the recording at `since`, in seconds without cut pauses.
    position: f64,
    since: Instant,
    last_at: Option<f64>,
    /// Seconds cut from pauses so far.
    cut: f64,
}

impl PlaybackClock {
    pub(crate) fn new(speed: f64, idle_limit: Option<Duration>, now: Instant) -> PlaybackClock {
        let idle_limit = idle_limit.map(|limit| limit.as_secs_f64());
        PlaybackClock { speed, idle_limit, paused: false, position: 0.0, since: now, last_at: None, cut: 0.0 }
    }

    /// Takes the time of the next line; returns when it is due on this clock, in recorded seconds without cut pauses.
    pub(crate) fn due(&mut self, at: f64) -> f64 {
        let at = if at.is_finite() { at } else { self.last_at.unwrap_or(0.0) };
        // The recording starts at its first line: the time before it is skipped.
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

    /// The time from `now` until `due`; none while paused.
    pub(crate) fn time_until(&self, due: f64, now: Instant) -> Option<Duration> {
        if self.paused {
            return None;
        }
        let seconds = (due - self.position_at(now)) / self.speed;
        Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
    }

    /// The position at `now`.
    pub(crate) fn position_at(&self, now: Instant) -> f64 {
        if self.paused {
            self.position
        } else {
            self.position + (now - self.since).as_secs_f64() * self.speed
        }
    }

    /// Pauses or resumes.
    pub(crate) fn toggle(&mut self, now: Instant) {
        self.update_position(now);
        self.paused = !self.paused;
    }

    /// While paused, moves to `due`: one step.
    pub(crate) fn step_to(&mut self, due: f64, now: Instant) {
        self.update_position(now);
        if self.paused {
            self.position = self.position.max(due);
        }
    }

    /// Multiplies the speed.
    pub(crate) fn change_speed(&mut self, factor: f64, now: Instant) {
        self.update_position(now);
        self.speed = (self.speed * factor).clamp(SPEEDS.0, SPEEDS.1);
    }

    /// The status line.
    pub(crate) fn status(&self, title: &str, now: Instant) -> String {
        let seconds = self.position_at(now).max(0.0);
        let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
        let state = if self.paused { "paused" } else { "playing" };
        format!(" {title}  {minutes:02.0}:{rest:04.1}  {}x  {state}  space + - . q ", self.speed)
    }

    fn update_position(&mut self, now: Instant) {
        self.position = self.position_at(now);
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
        let mut clock = PlaybackClock::new(2.0, None, start);
        assert_eq!(clock.due(0.0), 0.0);
        let due = clock.due(4.0);
        assert_eq!(clock.time_until(due, start), Some(2 * SECOND));
        assert_eq!(clock.time_until(due, start + 3 * SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn long_pauses_are_cut_and_a_time_that_goes_back_is_due_at_once() {
        let mut clock = PlaybackClock::new(1.0, Some(SECOND), Instant::now());
        assert_eq!(clock.due(0.0), 0.0);
        assert_eq!(clock.due(100.0), 1.0);
        assert_eq!(clock.due(100.5), 1.5);
        assert_eq!(clock.due(3.0), 1.5);
        assert_eq!(clock.due(f64::NAN), 1.5);
    }

    #[test]
    fn a_pause_stops_the_clock_and_a_step_moves_it() {
        let start = Instant::now();
        let mut clock = PlaybackClock::new(1.0, None, start);
        clock.due(0.0);
        clock.toggle(start + SECOND);
        assert_eq!(clock.time_until(5.0, start + 60 * SECOND), None);
        clock.step_to(5.0, start + 60 * SECOND);
        clock.toggle(start + 61 * SECOND);
        assert_eq!(clock.time_until(6.0, start + 61 * SECOND), Some(SECOND));
    }
}
