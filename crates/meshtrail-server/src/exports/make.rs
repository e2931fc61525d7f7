//! Making an export: from a question to a whole file.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use meshtrail_event::text::with_causes;
use meshtrail_event::{Kind, Outcome, Own, Timestamp};
use meshtrail_query::{Ask, Filter, Order, Start, query};
use meshtrail_worker::{Budget, Fault, Format, Question};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{Exports, Progress, What};
use crate::diary::Entry;
use crate::state::AppState;

/// How long the answer to an exported question may take to make.
const MAX_TIME: Duration = Duration::from_secs(6 * 3600);

/// How long an export waits before it asks again for a place among the questions that run.
const AGAIN: Duration = Duration::from_secs(2);

/// Leaves that are asked for at a time, and how long a round of asking may take.
const ROUND: (usize, Duration) = (1000, Duration::from_secs(2));

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("the file could not be written")]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Query(#[from] meshtrail_worker::QueryError),
    #[error("the trail could not be read")]
    Read(#[from] meshtrail_trail::ReadError),
    #[error("it was given up")]
    Cancelled,
}

/// Makes one export, and tells the trail how it ended.
pub(super) async fn run(
    exports: Exports,
    state: AppState,
    id: String,
    what: What,
    cancel: CancellationToken,
) {
    let made = tokio::select! {
        () = cancel.cancelled() => Err(MakeError::Cancelled),
        made = make(&exports, &state, &id, &what) => made,
    };
    let now = Timestamp::now();
    let told = exports.update(&id, |export| {
        export.finished = Some(now);
        match &made {
            Ok(sha256) => {
                export.progress = Progress::Done;
                export.sha256 = Some(sha256.clone());
            }
            Err(MakeError::Cancelled) => export.progress = Progress::Cancelled,
            Err(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, id, "an export could not be made");
                export.progress = Progress::Failed;
                export.error = Some(with_causes(error));
            }
        }
    });
    let Some(export) = told else { return };
    let kept = match made {
        Ok(_) => exports.keep(&export),
        Err(_) => std::fs::remove_file(exports.file(&export)),
    };
    if let Err(error) = kept {
        tracing::warn!(error = &error as &dyn std::error::Error, id, "an export will not outlive a restart");
    }
    let outcome = if export.progress == Progress::Done { Outcome::Success } else { Outcome::Failure };
    let mut entry = Entry::new(Kind::MeshtrailExported, "export made").with_outcome(outcome);
    entry = entry.of("export", &export.id, export.sha256.as_deref().unwrap_or_default());
    entry.own = Own {
        count: Some(export.rows),
        message: Some(crate::api::query::kept(&export.question)),
        reason: export.error.clone(),
        ..entry.own
    };
    if let Err(problem) = state.diary().write_own(entry).await {
        tracing::error!(cause = problem.cause, id, "the end of an export could not be written down");
    }
}

async fn make(exports: &Exports, state: &AppState, id: &str, what: &What) -> Result<String, MakeError> {
    let _turn = exports.0.turns.acquire().await.map_err(|_| MakeError::Cancelled)?;
    let export = exports.update(id, |export| export.progress = Progress::Running);
    let export = export.ok_or(MakeError::Cancelled)?;
    let mut file = Output::create(&exports.file(&export)).await?;
    match what {
        What::Sql { sql, format } => answer(exports, state, id, (sql, *format), &mut file).await?,
        What::Leaves(filter) => leaves(exports, state, id, filter, &mut file).await?,
    }
    file.finish().await
}

async fn answer(
    exports: &Exports,
    state: &AppState,
    id: &str,
    (sql, format): (&str, Format),
    file: &mut Output,
) -> Result<(), MakeError> {
    let budget = Budget { time: MAX_TIME, rows: u64::MAX };
    // Exports have turns of their own, and time: they wait for a place for as long as it takes.
    let asker = format!("export {id}");
    let question = Question { asker, sql: sql.to_owned(), format, budget, limit: None };
    let mut answer = loop {
        match state.sql().ask(question.clone()).await {
            Err(error) if error.fault == Fault::Busy => tokio::time::sleep(AGAIN).await,
            asked => break asked?,
        }
    };
    while let Some(bytes) = answer.next().await? {
        file.write(&bytes).await?;
        exports.update(id, |export| (export.rows, export.bytes) = (answer.rows(), file.bytes));
    }
    exports.update(id, |export| (export.rows, export.bytes) = (answer.rows(), file.bytes));
    Ok(())
}

/// The leaves up to the end that the trail has now, the oldest first.
async fn leaves(
    exports: &Exports,
    state: &AppState,
    id: &str,
    filter: &Filter,
    file: &mut Output,
) -> Result<(), MakeError> {
    let of = state.trail().size();
    let (mut start, mut rows, mut at) = (Start::Fresh(Order::Oldest), 0, 0);
    loop {
        let ask = Ask { start, limit: ROUND.0, budget: ROUND.1 };
        let page = query(state.trail(), filter, &ask).await?;
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

/// The file that is being made, and what stands in it so far.
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

    /// On return it is on disk; gives its SHA-256.
    async fn finish(mut self) -> Result<String, MakeError> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(hex::encode(self.hash.finalize()))
    }
}
