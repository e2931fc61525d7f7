//! The engine's own threads, so that computing does not block the tasks that read answers.

use std::io;

use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Batches of one answer that may wait to be read; the query pauses beyond it.
const READY: usize = 2;

/// A runtime for queries; dropping it ends what runs on it.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) fn start(count: usize) -> io::Result<Threads> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(count.max(1)).thread_name("sql").enable_all().build()?;
        Ok(Threads(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("the runtime is there until it is dropped").handle()
    }

    /// Runs `rows` on these threads and returns their batches; dropping the stream stops the query.
    pub(crate) fn drive(&self, mut rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema: SchemaRef = rows.schema();
        let (send, ready) = mpsc::channel(READY);
        let driven = self.handle().spawn(async move {
            loop {
                let next = tokio::select! {
                    () = send.closed() => return,
                    next = rows.next() => next,
                };
                match next {
                    Some(batch) => {
                        if send.send(batch).await.is_err() {
                            return;
                        }
                    }
                    None => return,
                }
            }
        });
        // A panic must not look like the end of the answer.
        let end = futures::stream::once(driven).filter_map(|ended| async move {
            let failed = |error| DataFusionError::Execution(format!("the query broke off: {error}"));
            ended.err().map(|error| Err(failed(error)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, ReceiverStream::new(ready).chain(end)))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A blocking shutdown would panic or stall inside an async task.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;
    use futures::stream;

    use super::*;

    fn rows(
        batches: impl futures::Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
    ) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(Arc::new(Schema::empty()), batches))
    }

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_never_the_end_of_an_answer() {
        let threads = Threads::start(1).unwrap();
        let whole = threads.drive(rows(stream::iter([Ok(batch()), Ok(batch())])));
        assert_eq!(whole.collect::<Vec<_>>().await.len(), 2);
        let broken = stream::iter(0..2).map(|at| if at == 0 { Ok(batch()) } else { panic!("on purpose") });
        let got: Vec<_> = threads.drive(rows(broken)).collect().await;
        assert!(got[0].is_ok() && got[1].is_err() && got.len() == 2, "{got:?}");
    }

    #[tokio::test]
    async fn a_dropped_answer_stops_its_query() {
        let threads = Threads::start(1).unwrap();
        let running = Arc::new(());
        let held = running.clone();
        let endless = stream::repeat_with(move || {
            let _held = &held;
            Ok(batch())
        });
        let mut answer = threads.drive(rows(endless));
        assert!(answer.next().await.is_some());
        drop(answer);
        while Arc::strong_count(&running) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
