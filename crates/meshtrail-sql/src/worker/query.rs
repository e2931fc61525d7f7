//! One query: planned, run, and its answer written to the data socket.
//!
//! The time limit is enforced by a thread that exits the process, even if an operator or the planner never yields.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use meshtrail_event::text::with_causes;
use meshtrail_worker::message::{Ask, FromWorker};
use meshtrail_worker::{Fault, Format, QueryError};

use super::link::Link;
use super::{confine, permits};
use crate::Exceeded;
use crate::engine::Engine;
use crate::output::{Encoder, OutputError};

/// Runs the query and reports the outcome, which is the last message of this process.
pub(super) fn run(engine: &Engine, link: &Arc<Link>, data: UnixStream, ask: Ask) {
    end_after(ask.budget.time, link.clone());
    confine::allow_processor(permits::processor_time(ask.budget.time, engine.threads()));
    if ask.memory > 0 {
        engine.grant(ask.memory);
    }
    let outcome = engine.handle().block_on(async {
        match ask.format {
            None => engine.check(&ask.sql).await.map(|_| FromWorker::Checked),
            Some(format) => stream(engine, link, data, &ask, format).await,
        }
    });
    link.send(&outcome.unwrap_or_else(FromWorker::Failed));
}

fn end_after(time: Duration, link: Arc<Link>) {
    let clock = std::thread::Builder::new().name("deadline".to_owned()).spawn(move || {
        std::thread::sleep(time);
        let late = QueryError::new(Fault::Budget, Exceeded::Time { time }.to_string());
        link.send(&FromWorker::Failed(late));
        std::process::exit(0);
    });
    // Without the thread the server kills this process a little later.
    drop(clock);
}

async fn stream(
    engine: &Engine,
    link: &Link,
    mut data: UnixStream,
    ask: &Ask,
    format: Format,
) -> Result<FromWorker, QueryError> {
    let answer = engine.query(&ask.sql, &ask.budget).await?;
    let mut encoder = Encoder::new(format, answer.schema.clone()).map_err(|error| encode_error(&error))?;
    let mut batches = answer.stream;
    let mut left = ask.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    while left > 0 {
        let next = batches.try_next().await.map_err(|error| crate::error::to_query_error(&error, None))?;
        let Some(batch) = next else { break };
        let batch = batch.slice(0, batch.num_rows().min(left));
        left -= batch.num_rows();
        let bytes = encoder.encode(&batch).map_err(|error| encode_error(&error))?;
        link.send(&FromWorker::Progress { rows: encoder.rows() });
        write(&mut data, &bytes)?;
    }
    drop(batches);
    let rows = encoder.rows();
    write(&mut data, &encoder.finish().map_err(|error| encode_error(&error))?)?;
    data.shutdown(Shutdown::Write).map_err(|error| socket_error(&error))?;
    Ok(FromWorker::Ended { rows })
}

fn write(data: &mut UnixStream, bytes: &[u8]) -> Result<(), QueryError> {
    data.write_all(bytes).map_err(|error| socket_error(&error))
}

fn socket_error(error: &std::io::Error) -> QueryError {
    QueryError::new(Fault::Trail, format!("the answer was not taken: {error}"))
}

fn encode_error(error: &OutputError) -> QueryError {
    QueryError::new(Fault::Query, with_causes(error))
}
