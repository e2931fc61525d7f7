//! Functions for columns that no file stores: labels, hashes as text, and leaves rebuilt from columns.
//!
//! They are evaluated only if a query uses the column, after filters were applied.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampNanosecondType};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use meshtrail_event::Family;
use meshtrail_trail::segment::{ColumnForm, Rows};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The output of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Output {
    /// The label of the actor.
    Actor,
    /// The label of a device.
    Device,
    /// The label of the target.
    Target,
    /// Bytes as hex.
    Hex,
    /// The event id as text.
    EventId,
    /// The leaf of a row, or its detail, rebuilt from `columns`.
    Leaf { family: Option<String>, columns: Vec<String>, is_detail: bool },
}

/// A function that is used only in Meshtrail's own tables.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TrailFunction {
    name: &'static str,
    output: Output,
    signature: Signature,
}

fn function(name: &'static str, output: Output, arguments: usize) -> Arc<ScalarUDF> {
    let signature = Signature::any(arguments, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(TrailFunction { name, output, signature }))
}

/// Columns that [`actor`] takes, in order.
pub(crate) const ACTOR: [&str; 6] = [
    "actor_login",
    "actor_tags",
    "actor_service",
    "actor_device_name",
    "actor_device_addresses",
    "actor_device_id",
];
/// Columns that [`device`] takes.
pub(crate) const DEVICE: [&str; 3] = ["actor_device_name", "actor_device_addresses", "actor_device_id"];
/// Columns that [`target`] takes.
pub(crate) const TARGET: [&str; 8] = [
    "target_namespace",
    "target_name",
    "target_device_name",
    "target_device_addresses",
    "target_device_id",
    "target_address",
    "target_address_port",
    "target_id",
];

/// The name of [`actor`] in plans.
pub(crate) const ACTOR_LABEL: &str = "actor_label";
/// The name of [`device`] in plans.
pub(crate) const DEVICE_LABEL: &str = "device_label";
/// The name of [`target`] in plans.
pub(crate) const TARGET_LABEL: &str = "target_label";

/// The label of an event's actor.
pub(crate) fn actor() -> Arc<ScalarUDF> {
    function(ACTOR_LABEL, Output::Actor, ACTOR.len())
}

/// The label of the actor's device.
pub(crate) fn device() -> Arc<ScalarUDF> {
    function(DEVICE_LABEL, Output::Device, DEVICE.len())
}

/// The label of an event's target.
pub(crate) fn target() -> Arc<ScalarUDF> {
    function(TARGET_LABEL, Output::Target, TARGET.len())
}

/// A hash as text.
pub(crate) fn hex() -> Arc<ScalarUDF> {
    function("hash_text", Output::Hex, 1)
}

/// The event id made of source, epoch and sequence.
pub(crate) fn event_id() -> Arc<ScalarUDF> {
    function("event_id", Output::EventId, 3)
}

/// The leaf of a row of `columns`, or its detail. Without `family`, the first argument names the row's family.
pub(crate) fn leaf(family: Option<Family>, columns: Vec<String>, is_detail: bool) -> Arc<ScalarUDF> {
    let arguments = columns.len() + usize::from(family.is_none());
    let family = family.map(|family| family.as_str().to_owned());
    let name = if is_detail { "detail_of" } else { "leaf_of" };
    function(name, Output::Leaf { family, columns, is_detail }, arguments)
}

impl ScalarUDFImpl for TrailFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let rows = arrays.first().map_or(rows, |array| array.len());
        let array = match &self.output {
            Output::Actor => labels(&arrays, rows, actor_of)?,
            Output::Device => labels(&arrays, rows, device_of)?,
            Output::Target => targets(&arrays, rows)?,
            Output::Hex => hex_column(&arrays[0]),
            Output::EventId => event_ids(&arrays, rows)?,
            Output::Leaf { family, columns, is_detail } => {
                leaves(&arrays, rows, family.as_deref(), columns, *is_detail)?
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn texts(array: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(array, &DataType::Utf8View)?.as_string_view().clone())
}

fn text(array: &StringViewArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

/// Builds a label for each row; `label` returns whether the row has one.
fn labels(
    arrays: &[ArrayRef],
    rows: usize,
    label: impl Fn(&[StringViewArray], usize, &mut String) -> bool,
) -> Result<ArrayRef> {
    let texts = arrays.iter().map(texts).collect::<Result<Vec<_>>>()?;
    // If every row has a login, the login column is the label column.
    if texts[0].null_count() == 0 && arrays.len() == ACTOR.len() {
        return Ok(Arc::new(texts[0].clone()));
    }
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut made = String::new();
    for row in 0..rows {
        made.clear();
        builder.append_option(label(&texts, row, &mut made).then_some(&made));
    }
    Ok(Arc::new(builder.finish()))
}

fn actor_of(columns: &[StringViewArray], row: usize, out: &mut String) -> bool {
    if let Some(login) = text(&columns[0], row) {
        out.push_str(login);
        return true;
    }
    if let Some(tags) = text(&columns[1], row) {
        let tags: Vec<String> = serde_json::from_str(tags).unwrap_or_default();
        if !tags.is_empty() {
            out.push_str(&tags.join(", "));
            return true;
        }
    }
    if let Some(service) = text(&columns[2], row) {
        out.push_str(service);
        return true;
    }
    device_of(&columns[3..], row, out)
}

/// Writes a device's label from its name, addresses and id; returns whether there is one.
fn device_of(columns: &[StringViewArray], row: usize, out: &mut String) -> bool {
    if let Some(name) = text(&columns[0], row) {
        out.push_str(name.split('.').next().unwrap_or(name));
        return true;
    }
    if let Some(addresses) = text(&columns[1], row) {
        let addresses: Vec<String> = serde_json::from_str(addresses).unwrap_or_default();
        if let Some(first) = addresses.first() {
            out.push_str(first);
            return true;
        }
    }
    text(&columns[2], row).inspect(|id| out.push_str(id)).is_some()
}

fn targets(arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let columns = arrays.iter().map(texts).collect::<Result<Vec<_>>>()?;
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut made = String::new();
    for row in 0..rows {
        made.clear();
        let has = if let Some(name) = text(&columns[1], row) {
            if let Some(namespace) = text(&columns[0], row) {
                made.push_str(namespace);
                made.push('/');
            }
            made.push_str(name);
            true
        } else {
            device_of(&columns[2..5], row, &mut made)
                || write_address(text(&columns[5], row), text(&columns[6], row), &mut made)
                || text(&columns[7], row).inspect(|id| made.push_str(id)).is_some()
        };
        builder.append_option(has.then_some(&made));
    }
    Ok(Arc::new(builder.finish()))
}

/// Writes an address with its port; returns whether there is an address.
fn write_address(host: Option<&str>, port: Option<&str>, out: &mut String) -> bool {
    let Some(host) = host else { return false };
    match port {
        Some(port) if host.contains(':') => {
            let _written = write!(out, "[{host}]:{port}");
        }
        Some(port) => {
            let _written = write!(out, "{host}:{port}");
        }
        None => out.push_str(host),
    }
    true
}

fn hex_column(array: &ArrayRef) -> ArrayRef {
    let Some(hashes) = array.as_fixed_size_binary_opt() else {
        return Arc::new(StringViewArray::new_null(array.len()));
    };
    let mut builder = StringViewBuilder::with_capacity(hashes.len());
    for row in 0..hashes.len() {
        builder.append_option(hashes.is_valid(row).then(|| hex_of(hashes.value(row))));
    }
    Arc::new(builder.finish())
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

fn event_ids(arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let source = texts(&arrays[0])?;
    let (epoch, sequence) = (texts(&arrays[1])?, texts(&arrays[2])?);
    let mut builder = StringViewBuilder::with_capacity(rows);
    for row in 0..rows {
        let id = text(&source, row).zip(text(&epoch, row)).zip(text(&sequence, row));
        builder.append_option(id.map(|((source, epoch), sequence)| format!("{source}.{epoch}.{sequence}")));
    }
    Ok(Arc::new(builder.finish()))
}

fn leaves(
    arrays: &[ArrayRef],
    rows: usize,
    family: Option<&str>,
    columns: &[String],
    is_detail: bool,
) -> Result<ArrayRef> {
    let (families, arrays) = match family {
        Some(_) => (None, arrays),
        None => (Some(texts(&arrays[0])?), &arrays[1..]),
    };
    let mut out: Vec<Option<String>> = vec![None; rows];
    for of in Family::ALL {
        let places: Vec<usize> = match (&families, family) {
            (Some(families), _) => {
                (0..rows).filter(|&row| text(families, row) == Some(of.as_str())).collect()
            }
            (None, Some(family)) if family == of.as_str() => (0..rows).collect(),
            _ => continue,
        };
        if places.is_empty() {
            continue;
        }
        let rows = join(of, arrays, columns, &places)?;
        for (place, leaf) in places.into_iter().zip(rows.leaves()) {
            let Some(leaf) = leaf else { return exec_err!("the columns of a row contradict each other") };
            let leaf = String::from_utf8(leaf).ok();
            out[place] = if is_detail { leaf.as_deref().and_then(detail) } else { leaf };
        }
    }
    Ok(Arc::new(out.into_iter().collect::<StringViewArray>()))
}

fn detail(leaf: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Leaf<'a> {
        #[serde(borrow)]
        detail: Option<&'a RawValue>,
    }
    serde_json::from_str::<Leaf<'_>>(leaf).ok()?.detail.map(|detail| detail.get().to_owned())
}

/// The rows at `places`, for the trail's joiner.
fn join(family: Family, arrays: &[ArrayRef], columns: &[String], places: &[usize]) -> Result<Rows> {
    let mut rows = Rows::new(family, places.len());
    for (name, array) in columns.iter().zip(arrays) {
        let Some(form) = rows.form(name) else { continue };
        if array.null_count() == array.len() {
            continue;
        }
        match form {
            ColumnForm::Int | ColumnForm::Port | ColumnForm::Time => {
                let numbers = numbers(array)?;
                rows.numbers(name, places.iter().map(|&row| numbers(row)));
            }
            ColumnForm::Text => {
                let texts = texts(array)?;
                rows.texts(name, places.iter().map(|&row| text(&texts, row).map(str::as_bytes)));
            }
            ColumnForm::Binary => {
                let whole = array.as_binary_view_opt();
                let value =
                    |row: usize| whole.filter(|whole| whole.is_valid(row)).map(|whole| whole.value(row));
                rows.texts(name, places.iter().map(|&row| value(row)));
            }
            ColumnForm::Hash => {
                let hashes = array.as_fixed_size_binary_opt();
                let value = |row: usize| hashes.filter(|all| all.is_valid(row)).map(|all| all.value(row));
                rows.hashes(name, places.iter().map(|&row| value(row)));
            }
        }
    }
    Ok(rows)
}

type Number<'a> = Box<dyn Fn(usize) -> Option<i64> + 'a>;

/// The numbers of a column, which is text in the table over all families where families differ.
fn numbers(array: &ArrayRef) -> Result<Number<'_>> {
    Ok(match array.data_type() {
        DataType::Int64 => {
            let numbers = array.as_primitive::<Int64Type>();
            Box::new(|row| numbers.is_valid(row).then(|| numbers.value(row)))
        }
        DataType::Int32 => {
            let numbers: &Int32Array = array.as_primitive::<Int32Type>();
            Box::new(|row| numbers.is_valid(row).then(|| i64::from(numbers.value(row))))
        }
        DataType::Timestamp(..) => {
            let times = array.as_primitive::<TimestampNanosecondType>();
            Box::new(|row| times.is_valid(row).then(|| times.value(row)))
        }
        _ => {
            let texts = texts(array)?;
            Box::new(move |row| text(&texts, row).and_then(|number| number.parse().ok()))
        }
    })
}
