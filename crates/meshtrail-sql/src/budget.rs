//! Limits of one query: time and rows.
//!
//! The budget holds for every plan of a session, whoever executes it: the optimizer's last rule wraps the plan in a
//! [`BudgetExec`]. The time runs from the first poll for rows; dropping a query's stream stops the query.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{Future, Stream, StreamExt};
use meshtrail_worker::Budget;
use tokio::time::{Sleep, sleep};

/// The limit that a query exceeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Exceeded {
    #[error("the query took longer than {} s: narrow it, by time above all", time.as_secs_f32())]
    Time { time: Duration },
    #[error("the query gives more than {rows} rows: add a limit, aggregate, or export")]
    Rows { rows: u64 },
}

impl From<Exceeded> for DataFusionError {
    fn from(exceeded: Exceeded) -> Self {
        Self::External(Box::new(exceeded))
    }
}

/// Wraps every plan in a [`BudgetExec`].
#[derive(Debug)]
pub(crate) struct BudgetRule {
    pub(crate) budget: Budget,
}

impl PhysicalOptimizerRule for BudgetRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if plan.name() == BudgetExec::static_name() {
            return Ok(plan);
        }
        let single = match (plan.output_partitioning().partition_count(), plan.output_ordering()) {
            (1, _) => plan,
            (_, None) => Arc::new(CoalescePartitionsExec::new(plan)),
            (_, Some(ordering)) => {
                let ordering = ordering.clone();
                Arc::new(SortPreservingMergeExec::new(ordering, plan)) as Arc<dyn ExecutionPlan>
            }
        };
        Ok(Arc::new(BudgetExec::new(single, self.budget.clone())))
    }

    fn name(&self) -> &str {
        "hold_to_budget"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// An operator that ends its input when the budget is used up.
#[derive(Debug)]
pub(crate) struct BudgetExec {
    input: Arc<dyn ExecutionPlan>,
    budget: Budget,
    properties: Arc<PlanProperties>,
}

impl BudgetExec {
    fn new(input: Arc<dyn ExecutionPlan>, budget: Budget) -> Self {
        let of = input.properties();
        let equivalence: EquivalenceProperties = of.equivalence_properties().clone();
        let partitioning = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalence, partitioning, of.emission_type, of.boundedness);
        Self { input, budget, properties: Arc::new(properties) }
    }
}

impl DisplayAs for BudgetExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held: time={:?}, rows={}", self.budget.time, self.budget.rows)
    }
}

impl ExecutionPlan for BudgetExec {
    fn name(&self) -> &'static str {
        Self::static_name()
    }

    fn static_name() -> &'static str {
        "Held"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.len()) {
            (Some(input), 0) => Ok(Arc::new(Self::new(input, self.budget.clone()))),
            _ => internal_err!("a plan that is held has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(Box::pin(BudgetStream {
            schema: self.input.schema(),
            state: State::Running(rows),
            deadline: None,
            budget: self.budget.clone(),
            left: self.budget.rows,
        }))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}

enum State {
    Running(SendableRecordBatchStream),
    Done,
}

struct BudgetStream {
    schema: SchemaRef,
    state: State,
    deadline: Option<Pin<Box<Sleep>>>,
    budget: Budget,
    left: u64,
}

impl BudgetStream {
    fn end(&mut self, exceeded: Exceeded) -> Poll<Option<Result<RecordBatch>>> {
        self.state = State::Done;
        Poll::Ready(Some(Err(exceeded.into())))
    }
}

impl Stream for BudgetStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let time = self.budget.time;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(time)));
        if deadline.as_mut().poll(context).is_ready() {
            return self.end(Exceeded::Time { time });
        }
        match &mut self.state {
            State::Running(rows) => match ready!(rows.poll_next_unpin(context)) {
                Some(Ok(batch)) => {
                    let rows = batch.num_rows() as u64;
                    match self.left.checked_sub(rows) {
                        Some(left) => self.left = left,
                        None => {
                            let rows = self.budget.rows;
                            return self.end(Exceeded::Rows { rows });
                        }
                    }
                    Poll::Ready(Some(Ok(batch)))
                }
                other => {
                    self.state = State::Done;
                    Poll::Ready(other)
                }
            },
            State::Done => Poll::Ready(None),
        }
    }
}

impl RecordBatchStream for BudgetStream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
