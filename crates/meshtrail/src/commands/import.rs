//! `sessions import`: imports recordings of tsrecorder, or a node's own session logs, file by file.
//!
//! - Each file is hashed first and sent only if no recording has the same bytes: an import can be repeated, or resumed
//!   after an interruption.
//! - A file that is no recording is reported with the reason and skipped; the exit status is then 1.
//! - Memory use does not depend on the size or the number of files.

mod cast_files;

use std::io::{IsTerminal, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use http::StatusCode;
use meshtrail_api::client::path;
use meshtrail_api::sessions::{ImportAnswer, ImportQuery};
use meshtrail_event::text::visible;
use meshtrail_server::direct::{self, WritableStore};
use meshtrail_trail::store::ForeignBucket;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::api::{Api, refusal};
use crate::args::{ApiSource, SessionImport};
use crate::local;
use crate::output::{print_line, print_note};
use cast_files::CastFile;

/// Bytes that are hashed at a time.
const CHUNK: usize = 256 << 10;

/// Imports every file below the named location.
pub(crate) async fn run(import: SessionImport) -> Result<ExitCode> {
    let source = ImportSource::open(&import.from)?;
    let target = ImportTarget::open(&import.api.source, import.dry_run).await?;
    let all = source.count().await?;
    if all == 0 {
        print_note(&format!("There is no *.cast file in {}.", import.from));
        return target.close(Ok(ExitCode::SUCCESS)).await;
    }
    let mut counts = Counts { all, ..Counts::default() };
    let result = source.import_each(&target, &import, &mut counts).await;
    counts.clear();
    print_note(&counts.summary(import.dry_run));
    let code = if counts.skipped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    target.close(result.map(|()| code)).await
}

/// The location of the files.
enum ImportSource {
    Disk(PathBuf),
    Bucket(ForeignBucket),
}

impl ImportSource {
    fn open(from: &str) -> Result<ImportSource> {
        if from.contains("://") {
            return Ok(ImportSource::Bucket(ForeignBucket::open(from)?));
        }
        let path = PathBuf::from(from);
        if !path.exists() {
            bail!("{from} does not exist");
        }
        Ok(ImportSource::Disk(std::path::absolute(path)?))
    }

    async fn count(&self) -> Result<u64> {
        match self {
            ImportSource::Disk(path) => {
                Ok(cast_files::walk(path).map(|file| file.map(|_| 1)).sum::<Result<u64, _>>()?)
            }
            ImportSource::Bucket(bucket) => {
                let (mut all, mut objects) = (0, bucket.list());
                while let Some(object) = objects.next().await {
                    all += u64::from(cast_files::is_cast(&object?.key));
                }
                Ok(all)
            }
        }
    }

    async fn import_each(
        &self,
        target: &ImportTarget,
        import: &SessionImport,
        counts: &mut Counts,
    ) -> Result<()> {
        match self {
            ImportSource::Disk(path) => {
                for file in cast_files::walk(path) {
                    let file = file?;
                    let cast_file = CastFile::from_location(&file.to_string_lossy(), import.node.as_deref());
                    import_one(target, &cast_file, &file, import, counts).await?;
                }
            }
            ImportSource::Bucket(bucket) => {
                let mut objects = bucket.list();
                while let Some(object) = objects.next().await {
                    let object = object?;
                    if !cast_files::is_cast(&object.key) {
                        continue;
                    }
                    let fetched = fetch(bucket, &object.key).await?;
                    let from = format!("{}/{}", bucket.name(), object.key);
                    import_one(
                        target,
                        &CastFile::from_location(&from, import.node.as_deref()),
                        fetched.path(),
                        import,
                        counts,
                    )
                    .await?;
                }
            }
        }
        Ok(())
    }
}

/// Downloads an object to a temporary file, which is removed on drop.
async fn fetch(bucket: &ForeignBucket, key: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new().context("there is no room for a temporary file")?;
    let mut out = tokio::fs::File::from_std(file.reopen()?);
    let mut parts = bucket.read(key).await?;
    while let Some(part) = parts.next().await {
        out.write_all(&part?).await?;
    }
    out.flush().await?;
    Ok(file)
}

/// The result for one file, as `--json` prints it.
#[derive(Debug, Serialize)]
struct ResultLine<'a> {
    from: &'a str,
    /// `imported`, `known`, `skipped`, or `new` of a dry run.
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

async fn import_one(
    target: &ImportTarget,
    cast_file: &CastFile,
    file: &Path,
    import: &SessionImport,
    counts: &mut Counts,
) -> Result<()> {
    let result = upload(target, cast_file, file, import.dry_run).await;
    counts.clear();
    match result {
        Ok(answer) => {
            *(if answer.outcome == "known" { &mut counts.known } else { &mut counts.new }) += 1;
            let line = ResultLine {
                from: &cast_file.from,
                outcome: &answer.outcome,
                session: Some(answer.session.as_str()).filter(|session| !session.is_empty()),
                reason: answer.reason.as_deref(),
            };
            print_result(&line, import.api.json)?;
        }
        Err(error) => {
            let Some(reason) = skip_reason(&error) else {
                return Err(error
                    .context(format!("stopped at {}; what was taken in stays", visible(&cast_file.from))));
            };
            counts.skipped += 1;
            let line = ResultLine {
                from: &cast_file.from,
                outcome: "skipped",
                session: None,
                reason: Some(&reason),
            };
            print_result(&line, import.api.json)?;
        }
    }
    counts.show();
    Ok(())
}

fn print_result(line: &ResultLine<'_>, json: bool) -> Result<()> {
    if json {
        return Ok(print_line(&serde_json::to_string(line)?)?);
    }
    let reason = line.reason.map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
    match line.outcome {
        "skipped" => print_note(&format!("skipped   {}{reason}", visible(line.from))),
        // Files that were imported before are only counted: a repeated run would print all of them.
        "known" => {}
        outcome => print_line(&format!(
            "{outcome:<9} {:<26} {}{reason}",
            line.session.unwrap_or("-"),
            visible(line.from)
        ))?,
    }
    Ok(())
}

/// The reason for skipping a file; none if the error is not about the file itself.
fn skip_reason(error: &anyhow::Error) -> Option<String> {
    if let Some(refused) = refusal(error) {
        return (refused.status == StatusCode::BAD_REQUEST).then(|| refused.detail.clone());
    }
    error.downcast_ref::<std::io::Error>().map(ToString::to_string)
}

async fn upload(
    target: &ImportTarget,
    cast_file: &CastFile,
    file: &Path,
    dry_run: bool,
) -> Result<ImportAnswer> {
    let sha256 = hash(file)?;
    let lookup = target.api().get_json::<ImportAnswer>(&format!("/api/v1/sessions/imports/{sha256}")).await;
    match lookup {
        Ok(known) => return Ok(known),
        Err(error) if refusal(&error).is_some_and(|refused| refused.status == StatusCode::NOT_FOUND) => {}
        Err(error) => return Err(error),
    }
    if dry_run {
        return Ok(ImportAnswer {
            outcome: "new".to_owned(),
            session: String::new(),
            state: None,
            reason: None,
        });
    }
    let query = ImportQuery {
        from: cast_file.from.clone(),
        node: cast_file.node.clone(),
        started: cast_file.started.map(|time| time.to_string()),
    };
    let answer = target.api().upload(&path("/api/v1/sessions/imports", &query), file).await?;
    serde_json::from_slice(&answer).context("the answer to an import is not what was expected")
}

fn hash(file: &Path) -> std::io::Result<String> {
    let (mut file, mut hasher, mut piece) = (std::fs::File::open(file)?, Sha256::new(), vec![0; CHUNK]);
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&piece[..length]);
    }
}

/// Where the files are imported to: a server, or the store opened by this process if none runs.
struct ImportTarget {
    api: Api,
    store: Option<WritableStore>,
}

impl ImportTarget {
    async fn open(source: &ApiSource, dry_run: bool) -> Result<ImportTarget> {
        let api = match source.named_server() {
            Some(_) => Some(Api::open(source).await?),
            None => local::running_server(source).await?.map(Api::Remote),
        };
        if let Some(api) = api {
            return Ok(ImportTarget { api, store: None });
        }
        if dry_run {
            return Ok(ImportTarget { api: Api::open(source).await?, store: None });
        }
        let location = local::store_location(source)?;
        let opened = direct::open_to_write(&location, &local::data_folder(source), &source.trail).await;
        let store = opened.with_context(|| format!("the store {location} can't be written"))?;
        Ok(ImportTarget { api: Api::Direct(Box::new(store.router().clone())), store: Some(store) })
    }

    fn api(&self) -> &Api {
        &self.api
    }

    /// Closes the store if it was opened, and passes `result` on.
    async fn close<T>(self, result: Result<T>) -> Result<T> {
        drop(self.api);
        if let Some(store) = self.store {
            store.close().await;
        }
        result
    }
}

/// The number of files by result.
#[derive(Default)]
struct Counts {
    all: u64,
    new: u64,
    known: u64,
    skipped: u64,
}

impl Counts {
    fn show(&self) {
        let done = self.new + self.known + self.skipped;
        self.write(&format!("\r{done} of {} …", self.all));
    }

    fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stderr();
        if out.is_terminal() {
            // If the terminal is gone the import goes on.
            drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        }
    }

    fn summary(&self, dry_run: bool) -> String {
        let Counts { all, new, known, skipped } = self;
        let verb = if dry_run { "would be imported" } else { "imported" };
        format!("{all} files: {new} {verb}, {known} were here already, {skipped} skipped.")
    }
}
