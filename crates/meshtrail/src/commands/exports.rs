//! `exports`: long results that the server writes to files, to be downloaded.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use meshtrail_api::client::{Client, encode};
use meshtrail_api::exports::{Export, ExportList, NewExport, Progress};
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::{ExportsCreate, ExportsFetch, ExportsList, ExportsRemove};
use crate::output::{Fit, Table, print_line, print_note};

/// How often progress is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Creates an export; with `--output`, waits for it and downloads it.
pub(crate) async fn create(create: ExportsCreate) -> Result<()> {
    let server = Api::open_server(&create.api.source, "an export").await?;
    let new = NewExport { sql: create.sql, filter: create.filter, format: create.format.into() };
    let export: Export = server.post_json("/api/v1/exports", &new).await?;
    let Some(output) = &create.output else {
        print_line(&export.id)?;
        print_note(&format!(
            "It is being made; `meshtrail exports fetch {} --output FILE` waits for it.",
            export.id
        ));
        return Ok(());
    };
    download(&server, &export.id, output).await
}

/// Waits for an export and downloads it.
pub(crate) async fn fetch(fetch: ExportsFetch) -> Result<()> {
    let server = Api::open_server(&fetch.api.source, "an export").await?;
    let output = fetch.output.unwrap_or_else(|| PathBuf::from(&fetch.id));
    download(&server, &fetch.id, &output).await
}

async fn download(server: &Client, id: &str, output: &Path) -> Result<()> {
    if output.exists() {
        bail!("{} is there already", output.display());
    }
    let path = format!("/api/v1/exports/{}", encode(id));
    let export = wait_until_done(server, &path).await?;
    let mut answer = server.get(&format!("{path}/file")).await?;
    let partial = output.with_added_extension("part");
    let created = File::create_new(&partial);
    let mut file = created.with_context(|| format!("can't make {}", partial.display()))?;
    while let Some(part) = answer.next().await {
        file.write_all(&part?)?;
    }
    file.sync_all()?;
    // A crash before this leaves FILE.part, never half of FILE.
    std::fs::rename(&partial, output)?;
    let sha256 = export.sha256.unwrap_or_default();
    print_note(&format!(
        "{} rows, {} bytes in {}; SHA-256 {sha256}",
        export.rows,
        export.bytes,
        output.display()
    ));
    Ok(())
}

/// Waits until the export is done, and shows its progress on a terminal.
async fn wait_until_done(server: &Client, path: &str) -> Result<Export> {
    let is_terminal = io::stderr().is_terminal();
    loop {
        let export: Export = server.get_json(path).await?;
        if is_terminal {
            let _ignored = write!(io::stderr().lock(), "\r\x1b[K{}", format_progress(&export));
        }
        if export.progress.is_over() && is_terminal {
            print_note("");
        }
        match export.progress {
            Progress::Waiting | Progress::Running => tokio::time::sleep(POLL_INTERVAL).await,
            Progress::Done => return Ok(export),
            Progress::Cancelled => bail!("the export was given up"),
            Progress::Failed | Progress::Other(_) => {
                bail!("the export failed: {}", export.error.unwrap_or_default())
            }
        }
    }
}

fn format_progress(export: &Export) -> String {
    let part = match (export.looked_at, export.of) {
        (Some(at), Some(of)) if of > 0 => format!(" {} %,", at.saturating_mul(100) / of),
        _ => String::new(),
    };
    format!("{}:{part} {} rows, {} bytes", export.progress, export.rows, export.bytes)
}

/// Lists exports.
pub(crate) async fn list(list: ExportsList) -> Result<()> {
    let api = Api::open(&list.api.source).await?;
    let answer: ExportList<Box<RawValue>> = api.get_json("/api/v1/exports").await?;
    if list.api.json {
        for export in &answer.exports {
            print_line(export.get())?;
        }
        return Ok(());
    }
    let mut table = Table::new([
        ("ID", Fit::Whole),
        ("STARTED", Fit::Whole),
        ("PROGRESS", Fit::Whole),
        ("ROWS", Fit::Right),
        ("BYTES", Fit::Right),
        ("FORMAT", Fit::Whole),
        ("BY", Fit::Cut(10)),
        ("QUESTION", Fit::Cut(20)),
    ]);
    for export in &answer.exports {
        let export: Export = serde_json::from_str(export.get())?;
        table.row([
            export.id,
            export.started.to_string(),
            export.progress.to_string(),
            export.rows.to_string(),
            export.bytes.to_string(),
            export.format,
            export.by,
            export.question,
        ]);
    }
    if answer.exports.is_empty() {
        print_note("There are no exports; `meshtrail exports create` begins one.");
        return Ok(());
    }
    Ok(table.print()?)
}

/// Cancels an unfinished export, or removes a finished one.
pub(crate) async fn remove(remove: ExportsRemove) -> Result<()> {
    let server = Api::open_server(&remove.api.source, "removing an export").await?;
    let path = format!("/api/v1/exports/{}", encode(&remove.id));
    server.send(Method::DELETE, &path, None).await?.read_all().await?;
    print_note(&format!("{} is removed.", remove.id));
    Ok(())
}
