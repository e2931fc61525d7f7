//! Which files can't hold what a question looks for, told by their ends: bounds, numbers of nulls, Bloom filters.
//!
//! DataFusion tells so itself where a column equals a value. It can't for the names that are put together from several
//! columns (`actor`, `device`, `target`), nor where one column or another equals something.
//!
//! - A file is left out only if none of its rows can meet the filters. Where that can't be told, or an end can't be
//!   read, the file stays: whoever reads it says what is wrong with it.
//! - Leaves kept whole may write JSON in their own way, so that nothing is told of files that hold any.

use std::collections::HashMap;

use bytes::Bytes;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::{FutureExt, StreamExt, stream};
use meshtrail_trail::manifest::SegmentFile;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::basic::Type;
use parquet::bloom_filter::Sbbf;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use crate::files::Files;
use crate::functions;

/// Ends of files that are read at once.
const AT_ONCE: usize = 16;

/// Those of `files` that may hold rows which meet all of `filters`, in order.
pub(crate) async fn narrow<'f>(
    files: Vec<&'f SegmentFile>,
    filters: &[Expr],
    opened: &Files,
) -> Vec<&'f SegmentFile> {
    let needs: Vec<Needs> = filters.iter().map(Needs::of).filter(Needs::is_ours_to_tell).collect();
    if needs.is_empty() {
        return files;
    }
    let needs = &Needs::All(needs);
    let looks: Vec<_> = files.into_iter().map(|file| kept(needs, file, opened).boxed()).collect();
    let kept: Vec<Option<&SegmentFile>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    kept.into_iter().flatten().collect()
}

async fn kept<'f>(needs: &Needs, file: &'f SegmentFile, opened: &Files) -> Option<&'f SegmentFile> {
    may_hold(needs, file, opened).await.unwrap_or(true).then_some(file)
}

/// What a file must hold for a filter to be met.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Needs {
    /// Nothing that can be told.
    Anything,
    All(Vec<Needs>),
    Any(Vec<Needs>),
    /// A column's being this text.
    Value {
        column: String,
        text: String,
    },
    /// A column's beginning so.
    Beginning {
        column: String,
        text: String,
    },
    /// A column's being anything but null.
    Something {
        column: String,
    },
}

impl Needs {
    fn of(filter: &Expr) -> Self {
        match filter {
            Expr::Alias(alias) => Self::of(&alias.expr),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Self::All(vec![Self::of(left), Self::of(right)]),
                Operator::Or => Self::Any(vec![Self::of(left), Self::of(right)]),
                Operator::Eq => match (text(left), text(right)) {
                    (None, Some(value)) => Self::equal(left, value),
                    (Some(value), None) => Self::equal(right, value),
                    _ => Self::Anything,
                },
                _ => Self::Anything,
            },
            Expr::InList(InList { expr, list, negated: false }) => {
                let each = list.iter().map(|value| match text(value) {
                    Some(value) => Self::equal(expr, value),
                    None => Self::Anything,
                });
                Self::Any(each.collect())
            }
            _ => Self::Anything,
        }
    }

    fn equal(what: &Expr, value: &str) -> Self {
        match what {
            Expr::Column(column) => Self::Value { column: column.name.clone(), text: value.to_owned() },
            Expr::ScalarFunction(function) => Self::label(function, value).unwrap_or(Self::Anything),
            _ => Self::Anything,
        }
    }

    /// What makes a label: each way to come to it.
    fn label(function: &ScalarFunction, label: &str) -> Option<Self> {
        let columns: Option<Vec<&str>> = function
            .args
            .iter()
            .map(|argument| match argument {
                Expr::Column(column) => Some(column.name.as_str()),
                _ => None,
            })
            .collect();
        let is = |column: &str, text: &str| Self::Value { column: column.to_owned(), text: text.to_owned() };
        let mut ways = Vec::new();
        match (function.func.name(), columns?.as_slice()) {
            (functions::ACTOR_LABEL, [login, tags, service, device @ ..]) => {
                ways.extend([is(login, label), is(service, label)]);
                // Tags are joined by commas: without one there is but one tag.
                ways.push(match serde_json::to_string(&[label]) {
                    Ok(list) if !label.contains(", ") => is(tags, &list),
                    _ => Self::Something { column: (*tags).to_owned() },
                });
                ways.extend(Self::device(device, label)?);
            }
            (functions::DEVICE_LABEL, device) => ways.extend(Self::device(device, label)?),
            (functions::TARGET_LABEL, [_, name, device @ .., address, _, id]) => {
                ways.extend([is(name, label), is(address, label), is(id, label)]);
                ways.extend(label.match_indices('/').map(|(at, _)| is(name, &label[at + 1..])));
                if let Some((host, _)) = label.rsplit_once(':') {
                    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                    ways.push(is(address, bare.unwrap_or(host)));
                }
                ways.extend(Self::device(device, label)?);
            }
            _ => return None,
        }
        Some(Self::Any(ways))
    }

    fn device(columns: &[&str], label: &str) -> Option<Vec<Self>> {
        let [name, addresses, id] = columns else { return None };
        let is = |column: &str, text: &str| Self::Value { column: column.to_owned(), text: text.to_owned() };
        let begins = |column: &str, text: String| Self::Beginning { column: column.to_owned(), text };
        let first = serde_json::to_string(label).ok()?;
        let mut ways = vec![is(id, label), begins(addresses, format!("[{first}"))];
        // The label is the name up to its first dot.
        if !label.contains('.') {
            ways.extend([is(name, label), begins(name, format!("{label}."))]);
        }
        Some(ways)
    }

    /// Whether this can be told of a file, and DataFusion does not tell it anyway.
    fn is_ours_to_tell(&self) -> bool {
        let Self::Any(ways) = self else {
            return matches!(self, Self::All(parts) if parts.iter().any(Self::is_ours_to_tell));
        };
        let column = |way: &Self| match way {
            Self::Value { column, .. } => Some(column.clone()),
            _ => None,
        };
        let first = ways.first().and_then(column);
        let is_of_one_column = first.is_some() && ways.iter().all(|way| column(way) == first);
        !is_of_one_column && ways.iter().all(Self::is_told)
    }

    fn is_told(&self) -> bool {
        match self {
            Self::Anything => false,
            Self::All(parts) => parts.iter().any(Self::is_told),
            Self::Any(ways) => ways.iter().all(Self::is_told),
            Self::Value { .. } | Self::Beginning { .. } | Self::Something { .. } => true,
        }
    }

    /// Columns that must have a certain value.
    fn values<'n>(&'n self, found: &mut Vec<&'n str>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.values(found)),
            Self::Value { column, .. } => found.push(column),
            Self::Anything | Self::Beginning { .. } | Self::Something { .. } => {}
        }
    }

    fn may_be_met(&self, group: &RowGroupMetaData, blooms: &HashMap<&str, Sbbf>) -> bool {
        match self {
            Self::Anything => true,
            Self::All(parts) => parts.iter().all(|part| part.may_be_met(group, blooms)),
            Self::Any(ways) => ways.iter().any(|way| way.may_be_met(group, blooms)),
            Self::Something { column } => chunk(group, column).is_some_and(|chunk| has_values(group, chunk)),
            Self::Value { column, text } => chunk(group, column).is_some_and(|chunk| {
                let is_filtered =
                    || blooms.get(column.as_str()).is_some_and(|bloom| !bloom.check(text.as_bytes()));
                let text = text.as_bytes();
                has_values(group, chunk)
                    && within(chunk, |min, max| min <= text && text <= max)
                    && !is_filtered()
            }),
            Self::Beginning { column, text } => chunk(group, column).is_some_and(|chunk| {
                let text = text.as_bytes();
                let may = |min: &[u8], max: &[u8]| max >= text && (min <= text || min.starts_with(text));
                has_values(group, chunk) && within(chunk, may)
            }),
        }
    }
}

/// The text of a literal.
fn text(value: &Expr) -> Option<&str> {
    match value {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text),
            _,
        ) => text.as_deref(),
        _ => None,
    }
}

/// A column that the file has; one that it has not is null in every row.
fn chunk<'g>(group: &'g RowGroupMetaData, column: &str) -> Option<&'g ColumnChunkMetaData> {
    group.columns().iter().find(|chunk| chunk.column_path().string() == column)
}

fn has_values(group: &RowGroupMetaData, chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
    nulls.is_none_or(|nulls| i64::try_from(nulls) != Ok(group.num_rows()))
}

/// Whether a column's bounds allow for what is looked for; what has none allows for anything.
fn within(chunk: &ColumnChunkMetaData, allows: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let bounds = chunk.statistics().and_then(|known| known.min_bytes_opt().zip(known.max_bytes_opt()));
    let is_text = chunk.column_type() == Type::BYTE_ARRAY;
    bounds.filter(|_| is_text).is_none_or(|(min, max)| allows(min, max))
}

async fn may_hold(needs: &Needs, file: &SegmentFile, opened: &Files) -> ParquetResult<bool> {
    let mut reader = opened.open(file);
    let metadata = reader.get_metadata(Some(&ArrowReaderOptions::new())).await?;
    if !is_as_written(&metadata) {
        return Ok(true);
    }
    let [group] = metadata.row_groups() else { return Ok(true) };
    if !needs.may_be_met(group, &HashMap::new()) {
        return Ok(false);
    }
    let mut columns = Vec::new();
    needs.values(&mut columns);
    columns.sort_unstable();
    columns.dedup();
    let place = |column: &str| {
        let chunk = chunk(group, column)?;
        let start = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
        Some(start..start + u64::try_from(chunk.bloom_filter_length()?).ok()?)
    };
    let (columns, places): (Vec<&str>, Vec<_>) =
        columns.into_iter().filter_map(|column| Some((column, place(column)?))).unzip();
    let read: Vec<Bytes> = reader.get_byte_ranges(places).await?;
    let blooms = columns.into_iter().zip(&read).map(|(column, bytes)| Ok((column, Sbbf::from_bytes(bytes)?)));
    Ok(needs.may_be_met(group, &blooms.collect::<ParquetResult<_>>()?))
}

/// Whether this is the file itself, and no stand-in for one with leaves kept whole.
fn is_as_written(metadata: &ParquetMetaData) -> bool {
    metadata.file_metadata().created_by().is_some_and(|by| by.starts_with("meshtrail "))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn what_is_told_anyway_is_left_to_it() {
        let told = |filter: Expr| Needs::of(&filter).is_ours_to_tell();
        assert!(!told(col("session").eq(lit("a"))));
        assert!(!told(col("session").in_list(vec![lit("a"), lit("b")], false)));
        assert!(!told(col("session").eq(lit("a")).or(col("bytes").gt(lit(7)))), "any file may meet this");
        assert!(!told(col("src").not_eq(lit("a")).or(col("dst").eq(lit("a")))));
        assert!(told(col("src").eq(lit("a")).or(col("dst").eq(lit("a")))));
        assert!(told(col("src").eq(lit("a")).or(col("dst").eq(lit("a")).and(col("bytes").gt(lit(7))))));
    }

    #[test]
    fn a_label_may_come_about_in_several_ways() {
        let device = functions::device().call(functions::DEVICE.map(col).to_vec());
        let Needs::Any(ways) = Needs::of(&device.clone().eq(lit("web"))) else { panic!("several") };
        let name = functions::DEVICE[0].to_owned();
        assert!(ways.contains(&Needs::Value { column: name.clone(), text: "web".to_owned() }));
        assert!(ways.contains(&Needs::Beginning { column: name.clone(), text: "web.".to_owned() }));
        let Needs::Any(ways) = Needs::of(&device.eq(lit("100.64.0.1"))) else { panic!("several") };
        let addresses =
            Needs::Beginning { column: functions::DEVICE[1].to_owned(), text: "[\"100.64.0.1\"".to_owned() };
        assert!(ways.contains(&addresses));
        assert!(!ways.iter().any(|way| matches!(way, Needs::Value { column, .. } if *column == name)));
    }
}
