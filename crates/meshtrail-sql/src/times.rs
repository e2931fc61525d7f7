//! Rewrites expressions over times for files that store a time in two columns: microseconds, and the nanoseconds below.
//!
//! Tables have one column of nanoseconds, and so have files of the first format. For other files each expression is
//! rewritten to the two columns:
//!
//! - A comparison with a literal becomes a comparison of microseconds if that is equivalent. Otherwise it becomes a bound
//!   on microseconds, by which the reader skips files and pages, and a comparison of the whole time.
//! - Anything else uses the whole time.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{
    DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, Literal, lit};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

/// Suffix of the column with the nanoseconds below a time's microsecond.
const NANOS_SUFFIX: &str = "_ns";
const NANOS_PER_MICRO: i64 = 1000;

/// Rewrites a table's expressions for one file.
#[derive(Debug)]
pub(crate) struct FileTimes;

impl PhysicalExprAdapterFactory for FileTimes {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        // Columns are matched by name; field ids are for other programs and must not make schemas differ.
        let fields = file.fields().iter().map(|field| field.as_ref().clone().with_metadata([].into()));
        let file = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let others = DefaultPhysicalExprAdapter::new(table.clone(), file.clone());
        Ok(Arc::new(Adapter { table, file, others }))
    }
}

#[derive(Debug)]
struct Adapter {
    table: SchemaRef,
    file: SchemaRef,
    /// Rewrites the other columns.
    others: DefaultPhysicalExprAdapter,
}

type Expr = Arc<dyn PhysicalExpr>;

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Expr) -> Result<Expr> {
        expr.transform_down(|expr| self.rewrite_one(expr)).data()
    }
}

impl Adapter {
    fn rewrite_one(&self, expr: Expr) -> Result<Transformed<Expr>> {
        let done = |expr: Expr| Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump));
        if let Some(column) = expr.downcast_ref::<Column>() {
            return match self.whole_time(column) {
                Some(time) => done(Arc::new(time)),
                None => done(self.others.rewrite(expr)?),
            };
        }
        if let Some(comparison) = expr.downcast_ref::<BinaryExpr>()
            && let Some(rewritten) = self.comparison(comparison)
        {
            return done(rewritten);
        }
        if let Some(filter) = expr.downcast_ref::<DynamicFilterPhysicalExpr>()
            && filter.children().into_iter().any(|child| self.is_split(child))
        {
            // The current filter is a bound of later ones: dynamic filters only narrow.
            let now = self.rewrite(filter.current()?)?;
            let later = expr.map_children(|child| self.rewrite_one(child))?.data;
            return done(and(now, later));
        }
        Ok(Transformed::no(expr))
    }

    fn is_split(&self, expr: &Expr) -> bool {
        expr.downcast_ref::<Column>().is_some_and(|column| self.whole_time(column).is_some())
    }

    /// The time, if the file stores this column in two.
    fn whole_time(&self, column: &Column) -> Option<WholeTime> {
        let is_time = |schema: &Schema, of: TimeUnit| {
            let field = schema.field_with_name(column.name()).ok();
            field
                .is_some_and(|field| matches!(field.data_type(), DataType::Timestamp(unit, _) if *unit == of))
        };
        if !is_time(&self.table, TimeUnit::Nanosecond) || !is_time(&self.file, TimeUnit::Microsecond) {
            return None;
        }
        let below = format!("{}{NANOS_SUFFIX}", column.name());
        let find =
            |name: &str| -> Option<Expr> { Some(Arc::new(Column::new_with_schema(name, &self.file).ok()?)) };
        Some(WholeTime { micros: find(column.name())?, below: find(&below)? })
    }

    /// Rewrites the comparison of a time with a literal.
    fn comparison(&self, comparison: &BinaryExpr) -> Option<Expr> {
        let (left, right) = (comparison.left(), comparison.right());
        let (column, operator, value) = match (left.downcast_ref(), right.downcast_ref()) {
            (Some(column), _) => (column, *comparison.op(), right.downcast_ref::<Literal>()?),
            (_, Some(column)) => (column, comparison.op().swap()?, left.downcast_ref::<Literal>()?),
            _ => return None,
        };
        let time = self.whole_time(column)?;
        let ScalarValue::TimestampNanosecond(Some(nanos), zone) = value.value() else { return None };
        let (bound, is_exact) = bound(operator, *nanos)?;
        let zone = zone.as_ref().map(|_| "UTC".into());
        let of = |operator, scalar| -> Expr {
            Arc::new(BinaryExpr::new(time.micros.clone(), operator, lit(scalar)))
        };
        let micros = of(bound.0, ScalarValue::TimestampMicrosecond(Some(bound.1), zone));
        if is_exact {
            return Some(micros);
        }
        let whole = Arc::new(BinaryExpr::new(Arc::new(time), operator, Arc::new(value.clone())));
        Some(and(micros, whole))
    }
}

/// The bound that `time operator nanos` puts on microseconds, and whether it is equivalent.
fn bound(operator: Operator, nanos: i64) -> Option<((Operator, i64), bool)> {
    let (micros, below) = (nanos.div_euclid(NANOS_PER_MICRO), nanos.rem_euclid(NANOS_PER_MICRO));
    let (is_first, is_last) = (below == 0, below == NANOS_PER_MICRO - 1);
    Some(match operator {
        Operator::GtEq => ((Operator::GtEq, micros), is_first),
        Operator::Lt if is_first => ((Operator::Lt, micros), true),
        Operator::Lt => ((Operator::LtEq, micros), false),
        Operator::Gt if is_last => ((Operator::Gt, micros), true),
        Operator::Gt => ((Operator::GtEq, micros), false),
        Operator::LtEq => ((Operator::LtEq, micros), is_last),
        Operator::Eq => ((Operator::Eq, micros), false),
        _ => return None,
    })
}

fn and(left: Expr, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, Operator::And, right))
}

/// A time in nanoseconds, computed from its two columns.
#[derive(Debug, Eq)]
struct WholeTime {
    micros: Expr,
    below: Expr,
}

impl PartialEq for WholeTime {
    fn eq(&self, other: &Self) -> bool {
        self.micros.eq(&other.micros) && self.below.eq(&other.below)
    }
}

impl Hash for WholeTime {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.micros.hash(state);
        self.below.hash(state);
    }
}

impl fmt::Display for WholeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} + {}", self.micros, self.below)
    }
}

impl PhysicalExpr for WholeTime {
    fn return_field(&self, schema: &Schema) -> Result<Arc<Field>> {
        let micros = self.micros.return_field(schema)?;
        let zone = match micros.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let of = DataType::Timestamp(TimeUnit::Nanosecond, zone);
        Ok(Arc::new(Field::new(micros.name(), of, micros.is_nullable())))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let micros = self.micros.evaluate(batch)?.into_array(rows)?;
        let below = self.below.evaluate(batch)?.into_array(rows)?;
        let (Some(of_micros), Some(of_below)) =
            (micros.as_primitive_opt::<TimestampMicrosecondType>(), below.as_primitive_opt::<Int32Type>())
        else {
            return Err(DataFusionError::Internal(format!("{self} is no time")));
        };
        // Wrong numbers under right checksums wrap to some time; `verify` finds them.
        let join =
            |micros: i64, below: i32| micros.wrapping_mul(NANOS_PER_MICRO).wrapping_add(i64::from(below));
        let whole: TimestampNanosecondArray =
            binary::<_, _, _, TimestampNanosecondType>(of_micros, of_below, join)?;
        let zone = of_micros.timezone().map(Arc::<str>::from);
        let whole: ArrayRef = Arc::new(whole.with_timezone_opt(zone));
        Ok(ColumnarValue::Array(whole))
    }

    fn children(&self) -> Vec<&Expr> {
        vec![&self.micros, &self.below]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Expr>) -> Result<Expr> {
        match <[Expr; 2]>::try_from(children) {
            Ok([micros, below]) => Ok(Arc::new(Self { micros, below })),
            Err(_) => Err(DataFusionError::Internal(format!("{self} has two columns"))),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int32Array, TimestampMicrosecondArray};
    use datafusion::physical_expr::expressions::binary as compare;

    use super::*;

    fn time(unit: TimeUnit) -> Field {
        Field::new("time", DataType::Timestamp(unit, Some("UTC".into())), true)
    }

    fn adapter() -> (SchemaRef, SchemaRef, Arc<dyn PhysicalExprAdapter>) {
        let id = [("PARQUET:field_id".to_owned(), "1".to_owned())];
        let table = Arc::new(Schema::new(vec![time(TimeUnit::Nanosecond)]));
        let below = Field::new("time_ns", DataType::Int32, true);
        let file = Arc::new(Schema::new(vec![below, time(TimeUnit::Microsecond).with_metadata(id.into())]));
        let adapter = FileTimes.create(table.clone(), file.clone()).unwrap();
        (table, file, adapter)
    }

    fn nanos(value: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(value), Some("UTC".into())))
    }

    #[test]
    fn a_comparison_in_two_columns_is_the_one_of_the_whole_time() {
        let (table, file, adapter) = adapter();
        let times = [Some(4_999), Some(5_000), Some(5_001), Some(5_500), Some(5_999), Some(6_000), None];
        let micros: TimestampMicrosecondArray =
            times.iter().map(|time| time.map(|time| time / 1000)).collect();
        let below: Int32Array = times.iter().map(|time| time.map(|time| (time % 1000) as i32)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(below), Arc::new(micros.with_timezone("UTC"))];
        let batch = RecordBatch::try_new(file.clone(), columns).unwrap();
        let column = || -> Expr { Arc::new(Column::new("time", 0)) };
        for value in 4_998..6_002 {
            for operator in
                [Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq, Operator::Eq, Operator::NotEq]
            {
                for is_swapped in [false, true] {
                    let operator = if is_swapped { operator.swap().unwrap() } else { operator };
                    let (left, right) =
                        if is_swapped { (nanos(value), column()) } else { (column(), nanos(value)) };
                    let asked = compare(left, operator, right, &table).unwrap();
                    let rewritten = adapter.rewrite(asked.clone()).unwrap();
                    let found = rewritten.evaluate(&batch).unwrap().into_array(times.len()).unwrap();
                    let whole: TimestampNanosecondArray = times.iter().copied().collect();
                    let whole: ArrayRef = Arc::new(whole.with_timezone("UTC"));
                    let whole = RecordBatch::try_new(table.clone(), vec![whole]).unwrap();
                    let expected = asked.evaluate(&whole).unwrap().into_array(times.len()).unwrap();
                    let expected: &BooleanArray = expected.as_boolean();
                    assert_eq!(found.as_boolean(), expected, "{asked} as {rewritten}");
                }
            }
        }
    }

    #[test]
    fn whole_microseconds_are_compared_by_their_column_alone() {
        let (table, _, adapter) = adapter();
        let column = || -> Expr { Arc::new(Column::new("time", 0)) };
        let rewritten = |operator, value| {
            adapter.rewrite(compare(column(), operator, nanos(value), &table).unwrap()).unwrap().to_string()
        };
        assert!(!rewritten(Operator::GtEq, 5_000).contains("time_ns"));
        assert!(!rewritten(Operator::Lt, 5_000).contains("time_ns"));
        assert!(rewritten(Operator::GtEq, 5_001).contains("time_ns"));
    }

    #[test]
    fn a_filter_that_narrows_later_bounds_the_microseconds_now() {
        let (table, _, adapter) = adapter();
        let column: Expr = Arc::new(Column::new("time", 0));
        let now = compare(column.clone(), Operator::Gt, nanos(5_001), &table).unwrap();
        let filter: Expr = Arc::new(DynamicFilterPhysicalExpr::new(vec![column], now));
        let rewritten = adapter.rewrite(filter).unwrap();
        assert!(rewritten.to_string().contains("time@1 >= 5"), "{rewritten}");
    }
}
