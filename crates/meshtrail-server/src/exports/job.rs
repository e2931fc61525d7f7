//! Runs one export: from a query to a complete file.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use meshtrail_api::exports::Progress;
use meshtrail_event::text::with_causes;
use meshtrail_event::{Kind, Outcome, Timestamp};
use meshtrail_query::{Filter, Order, PageRequest, Start, query};
use meshtrail_worker::{Budget, Fault, Format, Query};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{ExportContent, ExportParts, Exports};
use crate::audit_log::Entry;

/// The time limit of an exported SQL query.
const MAX_TIME: Duration = Duration::from_secs(6 * 3600);

/// How long an export waits before it tries again to run its query, while all workers are busy.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Leaves per page.
const PAGE: usize = 1000;

/// How long reading one page may take, about.
const PAGE_TIME: Duration = Duration::from_secs(2);

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("the file could not be written")]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Query(#[from] meshtrail_worker::QueryError),
    #[error("the trail could not be read")]
    Read(#[from] meshtrail_trail::ReadError),
    #[error("it was given up")]
    Cancelled,
}

/// Runs one export, and writes to the trail how it ended.
pub(super) async fn run(
    exports: Exports,
    parts: ExportParts,
    id: String,
    content: ExportContent,
    cancel: CancellationToken,
) {
    let result = tokio::select! {
        () = cancel.cancelled() => Err(JobError::Cancelled),
        result = write_file(&exports, &parts, &id, &content) => result,
    };
    let now = Timestamp::now();
    let updated = exports.update(&id, |export| {
        export.finished = Some(now);
        match &result {
            Ok(sha256) => {
                export.progress = Progress::Done;
                export.sha256 = Some(sha256.clone());
            }
            Err(JobError::Cancelled) => export.progress = Progress::Cancelled,
            Err(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, id, "an export could not be made");
                export.progress = Progress::Failed;
                export.error = Some(with_causes(error));
            }
        }
    });
    let Some(export) = updated else { return };
    let stored = match result {
        Ok(_) => exports.persist(&export),
        Err(_) => std::fs::remove_file(exports.file(&export)),
    };
    if let Err(error) = stored {
        tracing::warn!(error = &error as &dyn std::error::Error, id, "an export will not outlive a restart");
    }
    let outcome = if export.progress == Progress::Done { Outcome::Success } else { Outcome::Failure };
    let mut entry = Entry::new(Kind::MeshtrailExported, "export made").with_outcome(outcome);
    entry = entry
        .with_target("export", &export.id, export.sha256.as_deref().unwrap_or_default())
        .with_query(&export.question);
    (entry.own.count, entry.own.reason) = (Some(export.rows), export.error.clone());
    if let Err(problem) = parts.audit_log.write_for_server(entry).await {
        tracing::error!(cause = problem.cause, id, "the end of an export could not be written down");
    }
}

async fn write_file(
    exports: &Exports,
    parts: &ExportParts,
    id: &str,
    content: &ExportContent,
) -> Result<String, JobError> {
    let _slot = exports.0.slots.acquire().await.map_err(|_| JobError::Cancelled)?;
    let export = exports.update(id, |export| export.progress = Progress::Running);
    let export = export.ok_or(JobError::Cancelled)?;
    let mut file = Output::create(&exports.file(&export)).await?;
    match content {
        ExportContent::Sql { sql, format } => {
            write_result(exports, parts, id, (sql, *format), &mut file).await?
        }
        ExportContent::Leaves(filter) => write_leaves(exports, parts, id, filter, &mut file).await?,
    }
    file.finish().await
}

async fn write_result(
    exports: &Exports,
    parts: &ExportParts,
    id: &str,
    (sql, format): (&str, Format),
    file: &mut Output,
) -> Result<(), JobError> {
    let budget = Budget { time: MAX_TIME, rows: u64::MAX };
    // Exports have slots and a time limit of their own: they wait for a worker as long as it takes.
    let asker = format!("export {id}");
    let question = Query { asker, sql: sql.to_owned(), format, budget, limit: None };
    let mut answer = loop {
        match parts.sql.ask(question.clone()).await {
            Err(error) if error.fault == Fault::Busy => tokio::time::sleep(RETRY_DELAY).await,
            result => break result?,
        }
    };
    while let Some(bytes) = answer.next().await? {
        file.write(&bytes).await?;
        exports.update(id, |export| (export.rows, export.bytes) = (answer.rows(), file.bytes));
    }
    exports.update(id, |export| (export.rows, export.bytes) = (answer.rows(), file.bytes));
    Ok(())
}

/// Writes the leaves up to the current end of the trail, the oldest first.
async fn write_leaves(
    exports: &Exports,
    parts: &ExportParts,
    id: &str,
    filter: &Filter,
    file: &mut Output,
) -> Result<(), JobError> {
    let of = parts.trail.size();
    let (mut start, mut rows, mut at) = (Start::Fresh(Order::Oldest), 0, 0);
    loop {
        let ask = PageRequest { start, limit: PAGE, budget: PAGE_TIME };
        let page = query(&parts.trail, filter, &ask).await?;
        let new = page.items.iter().take_while(|(index, _)| *index < of);
        let (mut lines, mut count) = (Vec::new(), 0);
        for (index, leaf) in new {
            push_line(&mut lines, leaf);
            (count, at) = (count + 1, index + 1);
        }
        rows += count;
        file.write(&lines).await?;
        let is_past_end = count < page.items.len() as u64;
        let next = page.next.filter(|cursor| !is_past_end && cursor.at() < of);
        at = next.map_or(of, |cursor| cursor.at().max(at));
        exports.update(id, |export| {
            (export.rows, export.bytes) = (rows, file.bytes);
            (export.looked_at, export.of) = (Some(at.min(of)), Some(of));
        });
        match next {
            Some(cursor) => start = Start::After(cursor),
            None => return Ok(()),
        }
    }
}

fn push_line(lines: &mut Vec<u8>, leaf: &Bytes) {
    lines.extend_from_slice(leaf);
    lines.push(b'\n');
}

/// The file that is being written, with its size and hash so far.
struct Output {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Output {
    async fn create(path: &Path) -> std::io::Result<Output> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path).await?;
        Ok(Output { file, hash: Sha256::new(), bytes: 0 })
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Syncs the file to disk and returns its SHA-256.
    async fn finish(mut self) -> Result<String, JobError> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(hex::encode(self.hash.finalize()))
    }
}
