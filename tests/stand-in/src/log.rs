//! A log: records by time, from a list or generated on request.

use std::fmt::Write as _;

/// One record.
#[derive(Debug, Clone)]
pub struct Record {
    /// The time by which it is queried, in nanoseconds since the epoch.
    pub time: i64,
    /// When it appears in the log, in nanoseconds since the epoch.
    pub appears: i64,
    /// Its JSON.
    pub json: String,
}

/// A log's records.
#[derive(Debug, Clone)]
pub enum Log {
    /// These records, in any order.
    Listed(Vec<Record>),
    /// Audit records that are generated on request: the first at `from`, each `step` nanoseconds after the last.
    Generated {
        /// Number of records.
        count: u64,
        /// Time of the first, in nanoseconds since the epoch.
        from: i64,
        /// Nanoseconds between two records.
        step: i64,
    },
}

impl Default for Log {
    fn default() -> Self {
        Log::Listed(Vec::new())
    }
}

impl Log {
    /// Adds a record that appears at its own time.
    pub fn add(&mut self, time: i64, json: String) {
        self.add_late(time, time, json);
    }

    /// Adds a record that appears later than its own time.
    pub fn add_late(&mut self, time: i64, appears: i64, json: String) {
        if let Log::Listed(records) = self {
            records.push(Record { time, appears, json });
        }
    }

    /// The records from `start` to `end`, both included, that have appeared by `now`.
    pub(crate) fn window(&self, start: i64, end: i64, now: i64) -> Vec<String> {
        match self {
            Log::Listed(records) => {
                let mut found: Vec<&Record> = records
                    .iter()
                    .filter(|record| (start..=end).contains(&record.time) && record.appears <= now)
                    .collect();
                found.sort_by_key(|record| record.time);
                found.into_iter().map(|record| record.json.clone()).collect()
            }
            Log::Generated { count, from, step } => {
                let first =
                    (start - from).max(0).div_euclid(*step) + i64::from((start - from).max(0) % step != 0);
                let last = (end - from).div_euclid(*step).min(i64::try_from(*count).unwrap_or(i64::MAX) - 1);
                (first..=last).map(|n| generate_record(n.unsigned_abs(), from + n * step)).collect()
            }
        }
    }
}

/// The `n`th generated audit record, with this time.
pub fn generate_record(n: u64, time: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
    let (person, device) = (n % 211, n % 4_999);
    let mut json = String::with_capacity(640);
    let _whole = write!(
        json,
        "{{\"eventTime\":\"{at}\",\"type\":\"CONFIG\",\"deferredAt\":\"0001-01-01T00:00:00Z\",\
         \"eventGroupID\":\"{n:032x}\",\"origin\":\"ADMIN_CONSOLE\",\
         \"actor\":{{\"id\":\"u{person}CNTRL\",\"type\":\"USER\",\"loginName\":\"person{person}@example.com\",\
         \"displayName\":\"Person {person}\"}},\
         \"target\":{{\"id\":\"n{device}CNTRL\",\"name\":\"device-{device}.tail9c2a.ts.net\",\"type\":\"NODE\",\
         \"isEphemeral\":false,\"property\":\"ACL_TAGS\"}},\
         \"action\":\"UPDATE\",\"old\":[\"tag:stage{}\"],\"new\":[\"tag:stage{}\",\"tag:prod\"]}}",
        n % 7,
        n % 7
    );
    json
}
