//! What a server counts, as Prometheus reads it.
//!
//! - A counter only grows. A gauge is read when somebody asks, so that it can't go wrong by half a change.
//! - A series is made once; asking for the same one again gives the same counter.
//! - Labels are chosen by this program, never by a peer: the number of series is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The media type of [`Metrics::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of a series, as they are written.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Everything that is counted; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, Family>>>);

/// A number that only grows; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

struct Family {
    kind: &'static str,
    help: &'static str,
    /// By their labels as written, so that the text is the same each time.
    series: BTreeMap<String, Source>,
}

enum Source {
    Counter(Counter),
    Gauge(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl Counter {
    /// Counts one more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// The counter of this name (`meshtrail_…_total`) and these labels.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Counter {
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| Family::new("counter", help));
        let new = || Source::Counter(Counter::default());
        match family.series.entry(written(labels)).or_insert_with(new) {
            Source::Counter(counter) => counter.clone(),
            // A name that is a gauge already: what is counted here would show nowhere, but counting works.
            Source::Gauge(_) => Counter::default(),
        }
    }

    /// Shows what `read` returns under this name and these labels; one that was there before is replaced.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| Family::new("gauge", help));
        family.series.insert(written(labels), Source::Gauge(Box::new(read)));
    }

    /// Shows a number that something else counted.
    pub fn counted(&self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        let counter = Counter(Arc::new(AtomicU64::new(value)));
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| Family::new("counter", help));
        family.series.insert(written(labels), Source::Counter(counter));
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &*self.families() {
            let Family { kind, help, series } = family;
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for (labels, source) in series {
                text.push_str(&format!("{name}{labels} {}\n", source.value()));
            }
        }
        text
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    fn new(kind: &'static str, help: &'static str) -> Self {
        Self { kind, help, series: BTreeMap::new() }
    }
}

impl Source {
    fn value(&self) -> u64 {
        match self {
            Self::Counter(counter) => counter.value(),
            Self::Gauge(read) => read(),
        }
    }
}

fn written(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", labels.join(","))
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("families", &self.families().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        let name = "meshtrail_refused_total";
        let refused = metrics.counter(name, "Refused.", &[("port", "hec"), ("reason", "share")]);
        metrics.counter(name, "Refused.", &[("port", "hec"), ("reason", "share")]).add();
        refused.add();
        metrics.counter(name, "Refused.", &[("port", "a\"b")]);
        metrics.gauge("meshtrail_open", "Open.", &[], || 7);
        assert_eq!(
            metrics.text(),
            "# HELP meshtrail_open Open.\n# TYPE meshtrail_open gauge\nmeshtrail_open 7\n\
             # HELP meshtrail_refused_total Refused.\n# TYPE meshtrail_refused_total counter\n\
             meshtrail_refused_total{port=\"a\\\"b\"} 0\n\
             meshtrail_refused_total{port=\"hec\",reason=\"share\"} 2\n"
        );
    }
}
