//! The arguments of `meshtrail query` and `meshtrail exports …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use meshtrail_api::query::AnswerFormat;

use super::{ApiArgs, ApiSource};

/// `query`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshtrail query \"select actor, count(*) from ssh_session where time > now() - interval '7 days' group by 1\"\n  \
    meshtrail query --format parquet --output flows.parquet \"select * from flow where time > now() - interval '1 day'\"\n  \
    meshtrail query - < question.sql\n\n\
    The tables: session, login, kube, flow, config, log, finding, meshtrail, and event over all; docs/sql.md has their columns.\n\
    The question is written into the trail before it runs.")]
pub(crate) struct Query {
    /// One select; `-`, or nothing, reads it from standard input
    #[arg(value_name = "SQL")]
    pub(crate) sql: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,
    /// Short for --format jsonl
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Write the answer into this file, which must not be there yet
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// At most this many rows
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<u64>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) source: ApiSource,
}

/// How an answer in SQL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// Columns for reading
    Table,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with headings, each exactly as it is
    Csv,
    /// The same for spreadsheets: what one would take for a formula begins with an apostrophe
    CsvSafe,
    /// A Parquet file
    Parquet,
}

/// `exports`
#[derive(Debug, Subcommand)]
pub(crate) enum Exports {
    /// Begin one: the answer to a question in SQL, or the events that a filter lets through
    Create(ExportsCreate),
    /// List them
    List(ExportsList),
    /// Wait for one and take its file away
    Fetch(ExportsFetch),
    /// Give one up that is being made, or remove one that is done with
    Remove(ExportsRemove),
}

/// `exports create`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("question").required(true).args(["sql", "filter"]))]
pub(crate) struct ExportsCreate {
    /// One select: its answer is exported
    #[arg(long, value_name = "SQL")]
    pub(crate) sql: Option<String>,
    /// A filter: the leaves it lets through are exported byte for byte, as jsonl
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// How an answer in SQL is written
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub(crate) format: ExportFormat,
    /// Wait for it and write it into this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with headings, each exactly as it is
    Csv,
    /// The same for spreadsheets: what one would take for a formula begins with an apostrophe
    CsvSafe,
    /// A Parquet file
    Parquet,
}

impl From<ExportFormat> for AnswerFormat {
    fn from(format: ExportFormat) -> AnswerFormat {
        match format {
            ExportFormat::Jsonl => AnswerFormat::Jsonl,
            ExportFormat::Csv => AnswerFormat::Csv,
            ExportFormat::CsvSafe => AnswerFormat::CsvSafe,
            ExportFormat::Parquet => AnswerFormat::Parquet,
        }
    }
}

/// `exports list`
#[derive(Debug, Args)]
pub(crate) struct ExportsList {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `exports fetch`
#[derive(Debug, Args)]
pub(crate) struct ExportsFetch {
    /// The export's id
    pub(crate) id: String,
    /// The file to write; without it, one of the export's own name
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `exports remove`
#[derive(Debug, Args)]
pub(crate) struct ExportsRemove {
    /// The export's id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}
