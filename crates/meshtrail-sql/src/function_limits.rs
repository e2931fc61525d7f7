//! Limits on functions whose output is not bounded by their input.
//!
//! The memory pool counts what operators hold, not what a function allocates: `repeat('x', 2000000000)` would allocate
//! two gigabytes without asking it. The output size of these functions is estimated from their arguments before the call,
//! and is an error if it is too large. The limits of the process catch what is missed here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// Bytes of output that one call, for one batch of rows, may make.
const MAX_OUTPUT: u64 = 128 << 20;
/// Pairs of characters that one call may compare.
const MAX_COMPARED: u64 = 200_000_000;

/// Estimates of the output size of each function, per row.
const FUNCTIONS: [(&str, Cost); 10] = [
    ("repeat", |row| row.bytes(0).saturating_mul(row.number(1))),
    ("lpad", |row| row.number(1).saturating_mul(4)),
    ("rpad", |row| row.number(1).saturating_mul(4)),
    ("replace", replace_cost),
    ("regexp_replace", |row| {
        let (text, by) = (row.bytes(0), row.bytes(2));
        text.saturating_add(text.saturating_add(1).saturating_mul(by))
    }),
    ("array_repeat", |row| row.number(1).saturating_mul(row.bytes(0).max(16))),
    ("array_resize", |row| row.number(1).saturating_mul(16)),
    ("range", series_cost),
    ("generate_series", series_cost),
    ("array_to_string", |row| row.bytes(0).saturating_add(row.elements(0).saturating_mul(row.bytes(1)))),
];

/// Estimates the output of one row, in bytes.
type Cost = fn(&RowArguments<'_>) -> u64;

fn replace_cost(row: &RowArguments<'_>) -> u64 {
    let (text, from, to) = (row.bytes(0), row.bytes(1), row.bytes(2));
    if to <= from { text } else { text.saturating_add((text / from.max(1)).saturating_mul(to)) }
}

fn series_cost(row: &RowArguments<'_>) -> u64 {
    let (start, stop) =
        if row.arguments.len() == 1 { (0, row.signed(0)) } else { (row.signed(0), row.signed(1)) };
    let step = if row.arguments.len() > 2 { row.signed(2).unsigned_abs().max(1) } else { 1 };
    (start.abs_diff(stop) / step).saturating_mul(8)
}

/// Replaces the functions that `registry` has with limited ones.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let bounded = FUNCTIONS.iter().map(|(name, cost)| (*name, *cost, MAX_OUTPUT, "make", "bytes"));
    let compared: (_, Cost, _, _, _) = (
        "levenshtein",
        |row| row.bytes(0).saturating_mul(row.bytes(1)),
        MAX_COMPARED,
        "compare",
        "pairs of characters",
    );
    for (name, cost, limit, verb, unit) in bounded.chain([compared]) {
        if let Ok(inner) = registry.udf(name) {
            registry.register_udf(Arc::new(ScalarUDF::from(LimitedFunction {
                inner,
                cost,
                limit,
                verb,
                unit,
            })))?;
        }
    }
    Ok(())
}

/// The arguments of one row.
struct RowArguments<'a> {
    arguments: &'a [Argument],
    row: usize,
}

/// Sizes and values of one argument: for each row, or once if all rows share a literal.
struct Argument {
    is_shared: bool,
    bytes: Option<ArrayRef>,
    numbers: Option<ArrayRef>,
    elements: Option<ArrayRef>,
}

impl Argument {
    fn of(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let is_shared = matches!(value, ColumnarValue::Scalar(_));
        let array = value.to_array(if is_shared { 1 } else { rows })?;
        let lengths = |of: &dyn Array| length(of).and_then(|found| cast(&found, &DataType::Int64)).ok();
        let (mut bytes, mut numbers, mut elements) = (None, None, None);
        match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary => {
                bytes = lengths(&array)
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                elements = lengths(&array)
            }
            of if of.is_integer() => numbers = cast(&array, &DataType::Int64).ok(),
            _ => {}
        }
        Ok(Self { is_shared, bytes, numbers, elements })
    }
}

impl RowArguments<'_> {
    fn value(&self, at: usize, of: impl Fn(&Argument) -> &Option<ArrayRef>) -> Option<i64> {
        let argument = self.arguments.get(at)?;
        let array = of(argument).as_ref()?.as_primitive_opt::<Int64Type>()?;
        let row = if argument.is_shared { 0 } else { self.row };
        (row < array.len() && array.is_valid(row)).then(|| array.value(row))
    }

    /// Bytes of a text; 0 for other types.
    fn bytes(&self, at: usize) -> u64 {
        self.value(at, |argument| &argument.bytes).unwrap_or(0).unsigned_abs()
    }

    /// Elements of a list; 0 for other types.
    fn elements(&self, at: usize) -> u64 {
        self.value(at, |argument| &argument.elements).unwrap_or(0).unsigned_abs()
    }

    fn signed(&self, at: usize) -> i64 {
        self.value(at, |argument| &argument.numbers).unwrap_or(0)
    }

    /// A count; negative numbers are 0.
    fn number(&self, at: usize) -> u64 {
        u64::try_from(self.signed(at)).unwrap_or(0)
    }
}

/// A function that checks the estimated cost before each call.
#[derive(Debug)]
struct LimitedFunction {
    inner: Arc<ScalarUDF>,
    cost: Cost,
    limit: u64,
    verb: &'static str,
    unit: &'static str,
}

impl PartialEq for LimitedFunction {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for LimitedFunction {}

impl std::hash::Hash for LimitedFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl LimitedFunction {
    fn check(&self, arguments: &[ColumnarValue], rows: usize) -> Result<()> {
        let read = arguments.iter().map(|argument| Argument::of(argument, rows));
        let read = read.collect::<Result<Vec<_>>>()?;
        let rows = if read.iter().all(|argument| argument.is_shared) { 1 } else { rows };
        let mut sum = 0u64;
        for row in 0..rows {
            sum = sum.saturating_add((self.cost)(&RowArguments { arguments: &read, row }));
            if sum > self.limit {
                let (name, verb, unit) = (self.inner.name(), self.verb, self.unit);
                return exec_err!(
                    "{name} would {verb} more than {} {unit} at once: ask for less",
                    self.limit
                );
            }
        }
        Ok(())
    }
}

impl ScalarUDFImpl for LimitedFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.inner().schema_name(arguments)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&arguments.args, arguments.number_rows)?;
        self.inner.invoke_with_args(arguments)
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(arguments, context)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(input)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
