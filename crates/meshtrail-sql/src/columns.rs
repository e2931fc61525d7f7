//! The stored columns of families, and batches made of rows that are not stored as columns yet.
//!
//! The table over all families has every family's columns. A column whose form differs between families is text.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryViewBuilder, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringViewBuilder, TimestampNanosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use meshtrail_event::{Family, TrailName};
use meshtrail_trail::segment::{self, ColumnArray, ColumnForm, ColumnValues, Columns};

/// The column of a row's family, in tables of more than one.
pub(crate) const FAMILY: &str = "family";
/// The column of the trail's name.
pub(crate) const TRAIL: &str = "trail";
/// The column of the event's index in the trail.
pub(crate) const INDEX: &str = "index";
/// The column of the event's time.
pub(crate) const TIME: &str = "time";

/// The columns that no file has: each has one value for all rows of a file.
pub(crate) const CONSTANT: [&str; 2] = [FAMILY, TRAIL];

/// The value of a column of [`CONSTANT`] in rows of `family` in `trail`; of another column, none.
pub(crate) fn constant(name: &str, family: Family, trail: &TrailName) -> Option<ScalarValue> {
    let text = match name {
        FAMILY => family.as_str(),
        TRAIL => trail.as_str(),
        _ => return None,
    };
    Some(ScalarValue::Utf8View(Some(text.to_owned())))
}

/// The columns in the files of some families.
#[derive(Debug, Clone)]
pub(crate) struct StoredColumns {
    /// The families.
    pub(crate) families: Vec<Family>,
    /// The columns in the files.
    pub(crate) schema: SchemaRef,
}

static EACH: LazyLock<Vec<StoredColumns>> = LazyLock::new(|| {
    let of = |&family: &Family| StoredColumns { families: vec![family], schema: schema(&[family]) };
    Family::ALL.iter().map(of).collect()
});
static ALL: LazyLock<StoredColumns> =
    LazyLock::new(|| StoredColumns { families: Family::ALL.to_vec(), schema: schema(&Family::ALL) });

impl StoredColumns {
    /// The columns of one family.
    pub(crate) fn of(family: Family) -> &'static Self {
        let place = Family::ALL.iter().position(|&one| one == family);
        &EACH[place.expect("ALL holds every family")]
    }

    /// The columns of all families.
    pub(crate) fn all() -> &'static Self {
        &ALL
    }

    /// Whether rows have a column with their family.
    pub(crate) fn has_family(&self) -> bool {
        self.families.len() > 1
    }
}

/// The Arrow type of a column of this form.
pub(crate) fn data_type(form: ColumnForm) -> DataType {
    match form {
        ColumnForm::Int => DataType::Int64,
        ColumnForm::Port => DataType::Int32,
        ColumnForm::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        ColumnForm::Text => DataType::Utf8View,
        ColumnForm::Binary => DataType::BinaryView,
        ColumnForm::Hash => DataType::FixedSizeBinary(32),
    }
}

fn schema(families: &[Family]) -> SchemaRef {
    let mut found: Vec<(&'static str, DataType)> = Vec::new();
    for &family in families {
        for (name, form) in segment::columns(family) {
            let of = data_type(form);
            match found.iter_mut().find(|(other, _)| *other == name) {
                None => found.push((name, of)),
                Some((_, other)) if *other != of => *other = DataType::Utf8View,
                Some(_) => {}
            }
        }
    }
    let field = |(name, of): (&str, DataType)| Field::new(name, of, name != INDEX);
    Arc::new(Schema::new(found.into_iter().map(field).collect::<Vec<_>>()))
}

/// Rows of one family with the columns of `schema`; columns that the family lacks are null.
pub(crate) fn batch(columns: &Columns, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = columns.rows();
    let arrays = schema.fields().iter().map(|field| match columns.column(field.name()) {
        Some(values) => array(&values, field.data_type(), rows),
        None => Ok(new_null_array(field.data_type(), rows)),
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
}

/// Calls `put` once for each row, with the position of its value if it has one.
fn each_row(present: &[u32], rows: usize, mut put: impl FnMut(Option<usize>)) {
    let mut next = 0;
    for row in 0..rows {
        if present.get(next).is_some_and(|&at| at as usize == row) {
            put(Some(next));
            next += 1;
        } else {
            put(None);
        }
    }
}

fn array(values: &ColumnValues<'_>, of: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    let present = values.rows;
    Ok(match (&values.values, of) {
        (ColumnArray::Numbers(numbers), DataType::Int64) => {
            let mut builder = Int64Builder::with_capacity(rows);
            each_row(present, rows, |at| builder.append_option(at.map(|at| numbers[at])));
            Arc::new(builder.finish())
        }
        (ColumnArray::Numbers(numbers), DataType::Int32) => {
            let mut builder = Int32Builder::with_capacity(rows);
            each_row(present, rows, |at| {
                builder.append_option(at.and_then(|at| i32::try_from(numbers[at]).ok()));
            });
            Arc::new(builder.finish())
        }
        (ColumnArray::Numbers(numbers), DataType::Timestamp(..)) => {
            let mut builder = TimestampNanosecondBuilder::with_capacity(rows);
            each_row(present, rows, |at| builder.append_option(at.map(|at| numbers[at])));
            Arc::new(builder.finish().with_timezone("UTC"))
        }
        (ColumnArray::Numbers(numbers), DataType::Utf8View) => {
            let mut builder = StringViewBuilder::with_capacity(rows);
            each_row(present, rows, |at| builder.append_option(at.map(|at| numbers[at].to_string())));
            Arc::new(builder.finish())
        }
        (ColumnArray::Texts { ids, distinct }, DataType::Utf8View) => {
            let mut builder = StringViewBuilder::with_capacity(rows).with_deduplicate_strings();
            each_row(present, rows, |at| {
                builder.append_option(at.and_then(|at| std::str::from_utf8(distinct[ids[at] as usize]).ok()));
            });
            Arc::new(builder.finish())
        }
        (ColumnArray::Texts { ids, distinct }, DataType::BinaryView) => {
            let mut builder = BinaryViewBuilder::with_capacity(rows);
            each_row(present, rows, |at| builder.append_option(at.map(|at| distinct[ids[at] as usize])));
            Arc::new(builder.finish())
        }
        (ColumnArray::Hashes(hashes), DataType::FixedSizeBinary(32)) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, 32);
            let mut failed = None;
            each_row(present, rows, |at| match at {
                Some(at) => failed = builder.append_value(hashes[at]).err().or(failed.take()),
                None => builder.append_null(),
            });
            if let Some(error) = failed {
                return Err(error);
            }
            Arc::new(builder.finish())
        }
        _ => new_null_array(of, rows),
    })
}
