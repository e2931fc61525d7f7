//! Every source there is: when it was heard last, how far behind it is, what it missed.
//!
//! - What an auditor must know later is in the trail: that a source was heard for the first time since the start or
//!   again, that it went silent, that something is missing. Each is said once, not at every poll.
//! - [`Source::heard`] and [`Source::trouble`] are cheap and never wait; events go out from [`Sources::tell`].
//! - At most [`MAX_SOURCES`] are kept, and [`MAX_UNTOLD`] events wait for the trail; what is beyond is logged and
//!   counted, never silently lost.
//!
//! How a source works is not known here.

mod rate;
mod report;
mod seen;
mod told;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_event::{Draft, Timestamp};
use meshtrail_trail::Emitter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use report::{Gap, SourceReport, SourceState, Unseen};

use rate::Rate;

/// The most sources that are kept.
pub const MAX_SOURCES: usize = 10_000;

/// The most events that wait for the trail.
pub const MAX_UNTOLD: usize = 4_096;

/// The newest gaps of a source that are kept at hand; all are in the trail.
const GAPS: usize = 20;

/// How often silence is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// What is expected of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It is heard at least this often; silent after three times as long, and half a minute at the least.
    Every(Duration),
    /// It speaks when it has something to say.
    Whenever,
}

impl Expect {
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Every(often) => Some((often * 3).max(Duration::from_secs(30))),
            Self::Whenever => None,
        }
    }
}

/// All sources; cheap to clone.
#[derive(Clone)]
pub struct Sources(Arc<Shared>);

struct Shared {
    emitter: Option<Emitter>,
    /// Never held across an await.
    book: Mutex<Book>,
    bell: Notify,
}

#[derive(Default)]
struct Book {
    sources: BTreeMap<Arc<str>, Entry>,
    untold: VecDeque<Draft>,
}

/// What is known of one source.
struct Entry {
    expect: Expect,
    since: Timestamp,
    /// Whether its being heard was said since it was registered or went silent.
    connected: bool,
    /// Whether its silence was said.
    silent: bool,
    last_heard: Option<Timestamp>,
    newest: Option<Timestamp>,
    lag: Option<Duration>,
    events: u64,
    rate: Rate,
    gaps: u64,
    recent_gaps: VecDeque<Gap>,
    trouble: Option<String>,
    /// How far its clock is ahead of ours, in milliseconds, where it tells.
    clock_ahead: Option<i64>,
    /// Parts of what it tells that can't be seen now, by name.
    unseen: BTreeMap<String, Unseen>,
    /// How far its events' numbers have come, where it numbers them itself.
    numbers: seen::Numbers,
}

impl Entry {
    fn new(expect: Expect, since: Timestamp) -> Self {
        Self {
            expect,
            since,
            connected: false,
            silent: false,
            last_heard: None,
            newest: None,
            lag: None,
            events: 0,
            rate: Rate::default(),
            gaps: 0,
            recent_gaps: VecDeque::new(),
            trouble: None,
            clock_ahead: None,
            unseen: BTreeMap::new(),
            numbers: seen::Numbers::default(),
        }
    }

    fn keep_gap(&mut self, gap: Gap) {
        self.gaps += 1;
        if self.recent_gaps.len() == GAPS {
            self.recent_gaps.pop_front();
        }
        self.recent_gaps.push_back(gap);
    }
}

/// One source, to be told what came of it.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    all: Sources,
}

impl Sources {
    /// No sources yet; what is to be said of them goes to `emitter`.
    pub fn new(emitter: Emitter) -> Self {
        Self::of(Some(emitter))
    }

    /// Where nothing is collected, because a store is only read.
    pub fn none() -> Self {
        Self::of(None)
    }

    fn of(emitter: Option<Emitter>) -> Self {
        Self(Arc::new(Shared { emitter, book: Mutex::default(), bell: Notify::new() }))
    }

    /// The source of this name, known from now on.
    pub fn register(&self, name: &str, expect: Expect) -> Source {
        self.register_at(name, expect, Timestamp::now())
    }

    /// The source of this name, known from `now` on.
    pub fn register_at(&self, name: &str, expect: Expect, now: Timestamp) -> Source {
        let mut book = self.book();
        let name: Arc<str> = name.into();
        if book.sources.len() < MAX_SOURCES || book.sources.contains_key(&name) {
            book.sources.entry(name.clone()).or_insert_with(|| Entry::new(expect, now)).expect = expect;
        } else {
            tracing::warn!(source = &*name, "more sources than are kept; this one is not shown");
        }
        drop(book);
        Source { name, all: self.clone() }
    }

    /// What is known of each source now, by name.
    pub fn report(&self) -> Vec<SourceReport> {
        self.report_at(Timestamp::now())
    }

    /// What is known of each source at `now`, by name.
    pub fn report_at(&self, now: Timestamp) -> Vec<SourceReport> {
        self.book().sources.iter().map(|(name, entry)| SourceReport::of(name, entry, now)).collect()
    }

    /// Writes what is to be said into the trail and looks for silence, until `stop`; then says what is left.
    pub async fn tell(self, stop: CancellationToken) {
        let Some(emitter) = self.0.emitter.clone() else { return };
        loop {
            self.flush(&emitter).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.bell.notified() => {}
                () = tokio::time::sleep(LOOK) => {
                    self.look_for_silence(Timestamp::now());
                    self.look_for_holes(Timestamp::now());
                }
            }
        }
        self.flush(&emitter).await;
    }

    /// Says of each source that has been silent for too long at `now` that it is.
    pub fn look_for_silence(&self, now: Timestamp) {
        let mut book = self.book();
        let Book { sources, untold } = &mut *book;
        for (name, entry) in sources.iter_mut().filter(|(_, entry)| !entry.silent) {
            let Some(patience) = entry.expect.patience() else { continue };
            let heard = entry.last_heard.unwrap_or(entry.since);
            if now.since(heard) > patience {
                (entry.silent, entry.connected) = (true, false);
                push(untold, told::silent(name, entry.last_heard, entry.trouble.as_deref(), now));
            }
        }
    }

    async fn flush(&self, emitter: &Emitter) {
        loop {
            let Some(draft) = self.book().untold.front().cloned() else { return };
            if let Err(error) = emitter.emit(draft).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what is to be said of a source can't be written down; tried again later"
                );
                return;
            }
            self.book().untold.pop_front();
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Entry, &mut VecDeque<Draft>)) {
        let mut book = self.book();
        let Book { sources, untold } = &mut *book;
        let before = untold.len();
        if let Some(entry) = sources.get_mut(name) {
            change(entry, untold);
        }
        if untold.len() > before {
            self.0.bell.notify_one();
        }
    }
}

impl Source {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It answered or sent now: so many new events, the newest of which happened at `newest`. Ends silence and
    /// trouble.
    pub fn heard(&self, events: u64, newest: Option<Timestamp>) {
        self.heard_at(events, newest, Timestamp::now());
    }

    /// Like [`Source::heard`], at `now`.
    pub fn heard_at(&self, events: u64, newest: Option<Timestamp>, now: Timestamp) {
        self.all.change(&self.name, |entry, untold| {
            if !entry.connected {
                push(untold, told::connected(&self.name, entry.silent, entry.last_heard, now));
            }
            (entry.connected, entry.silent, entry.trouble) = (true, false, None);
            entry.last_heard = entry.last_heard.max(Some(now));
            if events > 0 {
                entry.lag = newest.map(|newest| now.since(newest)).or(entry.lag);
            }
            entry.newest = entry.newest.max(newest);
            entry.events += events;
            entry.rate.count(events, now);
        });
    }

    /// It does not work now, for this reason; said in reports until it is heard again, and in the trail if it goes
    /// silent over it.
    pub fn trouble(&self, text: &str) {
        let mut new = false;
        self.all.change(&self.name, |entry, _| {
            new = entry.trouble.as_deref() != Some(text);
            entry.trouble = Some(text.to_owned());
        });
        if new {
            tracing::warn!(source = &*self.name, "{text}");
        }
    }

    /// Its clock is so many milliseconds ahead of ours, where it tells.
    pub fn clock(&self, ahead: Option<i64>) {
        self.all.change(&self.name, |entry, _| entry.clock_ahead = ahead.or(entry.clock_ahead));
    }

    /// A part of what it tells can't be seen now, for this reason; it was seen last at `since`. That it can't any more is
    /// said in the trail, once.
    pub fn unseen(&self, part: &str, since: Option<Timestamp>, reason: &str) {
        let mut new = false;
        self.all.change(&self.name, |entry, untold| {
            let unseen = Unseen { part: part.to_owned(), since, reason: reason.to_owned() };
            let known = entry.unseen.get(part);
            new = known.is_none_or(|known| known.reason != reason);
            if known.is_none() && since.is_some() {
                push(untold, told::unseen(&self.name, &unseen, Timestamp::now()));
            }
            let since = known.map_or(since, |known| known.since);
            entry.unseen.insert(part.to_owned(), Unseen { since, ..unseen });
        });
        if new {
            tracing::warn!(source = &*self.name, part, "not read: {reason}");
        }
    }

    /// A part of what it tells is seen; where it could not be for a while, that is said.
    pub fn seen(&self, part: &str) {
        let mut back = false;
        self.all.change(&self.name, |entry, untold| {
            let Some(unseen) = entry.unseen.remove(part) else { return };
            back = true;
            if unseen.since.is_some() {
                push(untold, told::seen_again(&self.name, &unseen, Timestamp::now()));
            }
        });
        if back {
            tracing::info!(source = &*self.name, part, "can be read now");
        }
    }

    /// Whether a part is known as one that can't be seen now.
    pub fn is_unseen(&self, part: &str) -> bool {
        self.all.book().sources.get(&self.name).is_some_and(|entry| entry.unseen.contains_key(part))
    }

    /// What happened from `first` to `last` is missing, for this reason.
    pub fn gap(&self, first: Timestamp, last: Timestamp, text: &str) {
        self.keep_gap(Gap { first: Some(first), last: Some(last), reason: text.to_owned() }, None);
    }

    /// The numbered events `first` to `last` are missing, for this reason.
    pub fn missing(&self, first: u64, last: u64, text: &str) {
        let gap = Gap { first: None, last: None, reason: format!("{text} ({first} to {last})") };
        self.keep_gap(gap, Some((first, last)));
    }

    fn keep_gap(&self, gap: Gap, numbers: Option<(u64, u64)>) {
        tracing::warn!(source = &*self.name, "a gap: {}", gap.reason);
        self.all.change(&self.name, |entry, untold| {
            push(untold, told::gap(&self.name, &gap, numbers, Timestamp::now()));
            entry.keep_gap(gap);
        });
    }
}

fn push(untold: &mut VecDeque<Draft>, draft: Draft) {
    if untold.len() >= MAX_UNTOLD {
        tracing::error!(
            kind = draft.kind.as_str(),
            "too much waits to be said of sources; this is said here alone"
        );
        return;
    }
    untold.push_back(draft);
}

#[cfg(test)]
mod tests;
