//! `query`: SQL over the trail.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;

use crate::api::{Answer, Api};
use crate::args::{Query, QueryFormat};
use crate::output::{Fit, Table, print_note};

/// The longest query that is read from standard input, in bytes.
const MAX_QUESTION: u64 = 1 << 20;

/// Rows per table: the column widths are computed anew for each table.
const TABLE_ROWS: usize = 2000;

/// Runs a query and prints the result as it arrives.
pub(crate) async fn run(query: Query) -> Result<()> {
    let sql = read_query(query.sql.as_deref())?;
    let format = if query.json { QueryFormat::Jsonl } else { query.format };
    if format == QueryFormat::Parquet && query.output.is_none() && io::stdout().is_terminal() {
        bail!("Parquet is nothing for a terminal: name a file with --output, or send it through a pipe");
    }
    let format_name = match format {
        QueryFormat::Table => "rows",
        QueryFormat::Jsonl => "jsonl",
        QueryFormat::Csv => "csv",
        QueryFormat::CsvSafe => "csv-safe",
        QueryFormat::Parquet => "parquet",
    };
    let body = json!({ "sql": sql, "format": format_name, "limit": query.limit, "timeout": query.timeout });
    let api = Api::open(&query.source).await?;
    let answer = api.post("/api/v1/query", &body).await?;
    match (format, &query.output) {
        (QueryFormat::Table, None) => table(answer).await,
        (QueryFormat::Table, Some(_)) => {
            bail!("a table is for reading: choose --format csv, jsonl or parquet for a file")
        }
        (_, None) => copy(answer, &mut io::stdout().lock()).await.map(|_| ()),
        (_, Some(path)) => {
            let created = File::create_new(path);
            let mut file = created.with_context(|| format!("can't make {}", path.display()))?;
            match copy(answer, &mut file).await {
                Ok(bytes) => {
                    file.sync_all()?;
                    print_note(&format!("{bytes} bytes written to {}", path.display()));
                    Ok(())
                }
                Err(error) => {
                    // A partial result would later look like a complete one.
                    std::fs::remove_file(path)?;
                    Err(error)
                }
            }
        }
    }
}

fn read_query(argument: Option<&str>) -> Result<String> {
    match argument {
        Some(sql) if sql != "-" => Ok(sql.to_owned()),
        None if io::stdin().is_terminal() => {
            bail!("ask something: meshtrail query \"select kind, count(*) from event group by kind\"")
        }
        _ => {
            let mut sql = String::new();
            io::stdin().lock().take(MAX_QUESTION).read_to_string(&mut sql)?;
            Ok(sql)
        }
    }
}

async fn copy(mut answer: Answer, out: &mut impl Write) -> Result<u64> {
    let mut bytes = 0;
    while let Some(part) = answer.body.next().await {
        let part = part.context(CUT_OFF)?;
        out.write_all(&part)?;
        bytes += part.len() as u64;
    }
    out.flush()?;
    Ok(bytes)
}

const CUT_OFF: &str = "the answer was cut off; its last line, or the server's log, says why";

/// A line of a result in the format `rows`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Columns { columns: Vec<Column> },
    End { rows: u64 },
    Error { error: String },
    Row(Vec<Option<String>>),
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    of: String,
}

async fn table(mut answer: Answer) -> Result<()> {
    let (mut left, mut columns, mut sheet) = (Vec::new(), Vec::new(), Vec::new());
    let mut end = None;
    while let Some(part) = answer.body.next().await {
        left.extend_from_slice(&part.context(CUT_OFF)?);
        let whole = left.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for line in left[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).context("the server's answer is not what was expected")? {
                Line::Columns { columns: named } => columns = named,
                Line::Row(row) => sheet.push(row),
                Line::End { rows } => end = Some(rows),
                Line::Error { error } => bail!("the answer broke off: {error}"),
            }
            if sheet.len() >= TABLE_ROWS {
                print(&columns, std::mem::take(&mut sheet))?;
            }
        }
        left.drain(..whole);
    }
    let rows = end.context(CUT_OFF)?;
    if !sheet.is_empty() || rows == 0 {
        print(&columns, sheet)?;
    }
    print_note(&format!("{rows} {}", if rows == 1 { "row" } else { "rows" }));
    Ok(())
}

fn print(columns: &[Column], rows: Vec<Vec<Option<String>>>) -> Result<()> {
    let fit = |column: &Column| if column.of == "number" { Fit::Right } else { Fit::Cut(12) };
    let mut table = Table::new(columns.iter().map(|column| (column.name.clone(), fit(column))));
    for row in rows {
        table.row(row.into_iter().map(Option::unwrap_or_default));
    }
    Ok(table.print()?)
}
