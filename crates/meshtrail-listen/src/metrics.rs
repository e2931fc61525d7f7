//! Counters and gauges in Prometheus' text format.
//!
//! - A counter only grows. A gauge is a function that is called at each scrape, so that it can't drift.
//! - A series is created once; a second request for it returns the same counter.
//! - Label values are chosen by this program, never by a peer, so that the number of series is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The media type of [`Metrics::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The labels of a series.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// A registry of metrics; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, MetricFamily>>>);

/// A counter; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

struct MetricFamily {
    kind: &'static str,
    help: &'static str,
    /// By formatted labels, so that the order of the text is stable.
    series: BTreeMap<String, Reading>,
}

enum Reading {
    Counter(Counter),
    Gauge(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The current value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Returns the counter with this name (`meshtrail_…_total`) and these labels.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Counter {
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| MetricFamily::new("counter", help));
        let new = || Reading::Counter(Counter::default());
        match family.series.entry(format_labels(labels)).or_insert_with(new) {
            Reading::Counter(counter) => counter.clone(),
            // The name belongs to a gauge: the counter works, but is not exported.
            Reading::Gauge(_) => Counter::default(),
        }
    }

    /// Registers `read` as the gauge with this name and these labels, replacing an earlier one.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| MetricFamily::new("gauge", help));
        family.series.insert(format_labels(labels), Reading::Gauge(Box::new(read)));
    }

    /// Sets a counter to a value that was counted elsewhere.
    pub fn set_counter(&self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        let counter = Counter(Arc::new(AtomicU64::new(value)));
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| MetricFamily::new("counter", help));
        family.series.insert(format_labels(labels), Reading::Counter(counter));
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &*self.families() {
            let MetricFamily { kind, help, series } = family;
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for (labels, source) in series {
                text.push_str(&format!("{name}{labels} {}\n", source.value()));
            }
        }
        text
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, MetricFamily>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetricFamily {
    fn new(kind: &'static str, help: &'static str) -> Self {
        Self { kind, help, series: BTreeMap::new() }
    }
}

impl Reading {
    fn value(&self) -> u64 {
        match self {
            Self::Counter(counter) => counter.value(),
            Self::Gauge(read) => read(),
        }
    }
}

fn format_labels(labels: Labels<'_>) -> String {
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
