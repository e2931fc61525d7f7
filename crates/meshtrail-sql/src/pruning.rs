//! Pruning of files by their footers: bounds, null counts and Bloom filters.
//!
//! DataFusion prunes by itself where a column equals a value. It can't prune by labels that are computed from several
//! columns (`actor`, `device`, `target`), nor by alternatives over different columns.
//!
//! - A file is skipped only if none of its rows can match the filters. If that is unknown, or the footer can't be read,
//!   the file stays, and the scan reports the error.
//! - Leaves stored whole may be written in another form of JSON, so that files with such leaves are never skipped.

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

use crate::columns::CONSTANT;
use crate::files::SnapshotFiles;
use crate::functions;

/// Footers that are read at the same time.
const CONCURRENT_READS: usize = 16;

/// Returns, in order, those of `files` that may hold rows which match all of `filters`.
pub(crate) async fn prune_files<'f>(
    files: Vec<&'f SegmentFile>,
    filters: &[Expr],
    snapshot_files: &SnapshotFiles,
) -> Vec<&'f SegmentFile> {
    let needs: Vec<Requirement> =
        filters.iter().map(Requirement::from_filter).filter(Requirement::is_worth_checking).collect();
    if needs.is_empty() {
        return files;
    }
    let needs = &Requirement::All(needs);
    let looks: Vec<_> =
        files.into_iter().map(|file| keep_if_possible(needs, file, snapshot_files).boxed()).collect();
    let kept: Vec<Option<&SegmentFile>> = stream::iter(looks).buffered(CONCURRENT_READS).collect().await;
    kept.into_iter().flatten().collect()
}

async fn keep_if_possible<'f>(
    needs: &Requirement,
    file: &'f SegmentFile,
    snapshot_files: &SnapshotFiles,
) -> Option<&'f SegmentFile> {
    may_hold(needs, file, snapshot_files).await.unwrap_or(true).then_some(file)
}

/// What a file must contain for a filter to match any of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    /// Can't be decided from a footer.
    Unknown,
    All(Vec<Requirement>),
    Any(Vec<Requirement>),
    /// The column has this value.
    Value {
        column: String,
        text: String,
    },
    /// The column has a value with this prefix.
    Prefix {
        column: String,
        text: String,
    },
    /// The column has a value.
    NotNull {
        column: String,
    },
}

impl Requirement {
    fn from_filter(filter: &Expr) -> Self {
        match filter {
            Expr::Alias(alias) => Self::from_filter(&alias.expr),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Self::All(vec![Self::from_filter(left), Self::from_filter(right)]),
                Operator::Or => Self::Any(vec![Self::from_filter(left), Self::from_filter(right)]),
                Operator::Eq => match (text(left), text(right)) {
                    (None, Some(value)) => Self::equal(left, value),
                    (Some(value), None) => Self::equal(right, value),
                    _ => Self::Unknown,
                },
                _ => Self::Unknown,
            },
            Expr::InList(InList { expr, list, negated: false }) => {
                let each = list.iter().map(|value| match text(value) {
                    Some(value) => Self::equal(expr, value),
                    None => Self::Unknown,
                });
                Self::Any(each.collect())
            }
            _ => Self::Unknown,
        }
    }

    fn equal(what: &Expr, value: &str) -> Self {
        match what {
            // No file has these columns, so its footer can't decide about them.
            Expr::Column(column) if CONSTANT.contains(&column.name.as_str()) => Self::Unknown,
            Expr::Column(column) => Self::Value { column: column.name.clone(), text: value.to_owned() },
            Expr::ScalarFunction(function) => Self::label(function, value).unwrap_or(Self::Unknown),
            _ => Self::Unknown,
        }
    }

    /// The alternatives by which columns can produce `label`.
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
                // Tags are joined by `, `: a label without it is a single tag.
                ways.push(match serde_json::to_string(&[label]) {
                    Ok(list) if !label.contains(", ") => is(tags, &list),
                    _ => Self::NotNull { column: (*tags).to_owned() },
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
        let begins = |column: &str, text: String| Self::Prefix { column: column.to_owned(), text };
        let first = serde_json::to_string(label).ok()?;
        let mut ways = vec![is(id, label), begins(addresses, format!("[{first}"))];
        // The label is the name up to its first dot.
        if !label.contains('.') {
            ways.extend([is(name, label), begins(name, format!("{label}."))]);
        }
        Some(ways)
    }

    /// Whether a footer can decide this, and DataFusion does not check it by itself.
    fn is_worth_checking(&self) -> bool {
        let Self::Any(ways) = self else {
            return matches!(self, Self::All(parts) if parts.iter().any(Self::is_worth_checking));
        };
        let column = |way: &Self| match way {
            Self::Value { column, .. } => Some(column.clone()),
            _ => None,
        };
        let first = ways.first().and_then(column);
        let is_of_one_column = first.is_some() && ways.iter().all(|way| column(way) == first);
        !is_of_one_column && ways.iter().all(Self::is_checkable)
    }

    fn is_checkable(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::All(parts) => parts.iter().any(Self::is_checkable),
            Self::Any(ways) => ways.iter().all(Self::is_checkable),
            Self::Value { .. } | Self::Prefix { .. } | Self::NotNull { .. } => true,
        }
    }

    /// Collects the columns that must have a certain value.
    fn values<'n>(&'n self, found: &mut Vec<&'n str>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.values(found)),
            Self::Value { column, .. } => found.push(column),
            Self::Unknown | Self::Prefix { .. } | Self::NotNull { .. } => {}
        }
    }

    fn may_be_satisfied(&self, group: &RowGroupMetaData, blooms: &HashMap<&str, Sbbf>) -> bool {
        match self {
            Self::Unknown => true,
            Self::All(parts) => parts.iter().all(|part| part.may_be_satisfied(group, blooms)),
            Self::Any(ways) => ways.iter().any(|way| way.may_be_satisfied(group, blooms)),
            Self::NotNull { column } => chunk(group, column).is_some_and(|chunk| has_values(group, chunk)),
            Self::Value { column, text } => chunk(group, column).is_some_and(|chunk| {
                let is_filtered =
                    || blooms.get(column.as_str()).is_some_and(|bloom| !bloom.check(text.as_bytes()));
                let text = text.as_bytes();
                has_values(group, chunk)
                    && bounds_allow(chunk, |min, max| min <= text && text <= max)
                    && !is_filtered()
            }),
            Self::Prefix { column, text } => chunk(group, column).is_some_and(|chunk| {
                let text = text.as_bytes();
                let may = |min: &[u8], max: &[u8]| max >= text && (min <= text || min.starts_with(text));
                has_values(group, chunk) && bounds_allow(chunk, may)
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

/// The column's chunk. A column that the file lacks is null in every row.
fn chunk<'g>(group: &'g RowGroupMetaData, column: &str) -> Option<&'g ColumnChunkMetaData> {
    group.columns().iter().find(|chunk| chunk.column_path().string() == column)
}

fn has_values(group: &RowGroupMetaData, chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
    nulls.is_none_or(|nulls| i64::try_from(nulls) != Ok(group.num_rows()))
}

/// Whether `allows` accepts the column's bounds; a column without bounds allows any value.
fn bounds_allow(chunk: &ColumnChunkMetaData, allows: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let bounds = chunk.statistics().and_then(|known| known.min_bytes_opt().zip(known.max_bytes_opt()));
    let is_text = chunk.column_type() == Type::BYTE_ARRAY;
    bounds.filter(|_| is_text).is_none_or(|(min, max)| allows(min, max))
}

async fn may_hold(
    needs: &Requirement,
    file: &SegmentFile,
    snapshot_files: &SnapshotFiles,
) -> ParquetResult<bool> {
    let mut reader = snapshot_files.open(file);
    let metadata = reader.get_metadata(Some(&ArrowReaderOptions::new())).await?;
    if !is_original(&metadata) {
        return Ok(true);
    }
    let [group] = metadata.row_groups() else { return Ok(true) };
    if !needs.may_be_satisfied(group, &HashMap::new()) {
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
    Ok(needs.may_be_satisfied(group, &blooms.collect::<ParquetResult<_>>()?))
}

/// Whether this is the footer of the stored file, not of a replacement for leaves stored whole.
fn is_original(metadata: &ParquetMetaData) -> bool {
    metadata.file_metadata().created_by().is_some_and(|by| by.starts_with("meshtrail "))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn what_is_told_anyway_is_left_to_it() {
        let checks = |filter: Expr| Requirement::from_filter(&filter).is_worth_checking();
        assert!(!checks(col("session").eq(lit("a"))));
        assert!(!checks(col("session").in_list(vec![lit("a"), lit("b")], false)));
        assert!(!checks(col("session").eq(lit("a")).or(col("bytes").gt(lit(7)))), "any file may meet this");
        assert!(!checks(col("src").not_eq(lit("a")).or(col("dst").eq(lit("a")))));
        for constant in CONSTANT {
            assert!(
                !checks(col("src").eq(lit("a")).or(col(constant).eq(lit("a")))),
                "no file has {constant}"
            );
        }
        assert!(checks(col("src").eq(lit("a")).or(col("dst").eq(lit("a")))));
        assert!(checks(col("src").eq(lit("a")).or(col("dst").eq(lit("a")).and(col("bytes").gt(lit(7))))));
    }

    #[test]
    fn a_label_may_come_about_in_several_ways() {
        let device = functions::device().call(functions::DEVICE.map(col).to_vec());
        let Requirement::Any(ways) = Requirement::from_filter(&device.clone().eq(lit("web"))) else {
            panic!("several")
        };
        let name = functions::DEVICE[0].to_owned();
        assert!(ways.contains(&Requirement::Value { column: name.clone(), text: "web".to_owned() }));
        assert!(ways.contains(&Requirement::Prefix { column: name.clone(), text: "web.".to_owned() }));
        let Requirement::Any(ways) = Requirement::from_filter(&device.eq(lit("100.64.0.1"))) else {
            panic!("several")
        };
        let addresses = Requirement::Prefix {
            column: functions::DEVICE[1].to_owned(),
            text: "[\"100.64.0.1\"".to_owned(),
        };
        assert!(ways.contains(&addresses));
        assert!(!ways.iter().any(|way| matches!(way, Requirement::Value { column, .. } if *column == name)));
    }
}
