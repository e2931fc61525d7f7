//! `query`: SQL over the trail.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, Result, bail};
use meshtrail_api::client::Answer;
use meshtrail_api::query::{AnswerFormat, Column, Question, RowsLine};

use crate::api::Api;
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
    let answer_format = match format {
        QueryFormat::Table => AnswerFormat::Rows,
        QueryFormat::Jsonl => AnswerFormat::Jsonl,
        QueryFormat::Csv => AnswerFormat::Csv,
        QueryFormat::CsvSafe => AnswerFormat::CsvSafe,
        QueryFormat::Parquet => AnswerFormat::Parquet,
    };
    let question = Question { sql, format: answer_format, limit: query.limit, timeout: query.timeout };
    let api = Api::open(&query.source).await?;
    let answer = api.post("/api/v1/query", &question).await?;
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
    while let Some(part) = answer.next().await {
        let part = part.context(CUT_OFF)?;
        out.write_all(&part)?;
        bytes += part.len() as u64;
    }
    out.flush()?;
    Ok(bytes)
}

const CUT_OFF: &str = "the answer was cut off; its last line, or the server's log, says why";

async fn table(answer: Answer) -> Result<()> {
    // What one row may hold, the server limits.
    let mut lines = answer.lines(usize::MAX);
    let (mut columns, mut sheet, mut end) = (Vec::new(), Vec::new(), None);
    while let Some(line) = lines.next().await.context(CUT_OFF)? {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(&line).context("the server's answer is not what was expected")? {
            RowsLine::Columns { columns: named } => columns = named,
            RowsLine::Row(row) => sheet.push(row),
            RowsLine::End { rows } => end = Some(rows),
            RowsLine::Error { error } => bail!("the answer broke off: {error}"),
        }
        if sheet.len() >= TABLE_ROWS {
            print(&columns, std::mem::take(&mut sheet))?;
        }
    }
    let rows = end.context(CUT_OFF)?;
    if !sheet.is_empty() || rows == 0 {
        print(&columns, sheet)?;
    }
    print_note(&format!("{rows} {}", if rows == 1 { "row" } else { "rows" }));
    Ok(())
}

fn print(columns: &[Column], rows: Vec<Vec<Option<String>>>) -> Result<()> {
    let fit = |column: &Column| if column.of_type == "number" { Fit::Right } else { Fit::Cut(12) };
    let mut table = Table::new(columns.iter().map(|column| (column.name.clone(), fit(column))));
    for row in rows {
        table.row(row.into_iter().map(Option::unwrap_or_default));
    }
    Ok(table.print()?)
}
