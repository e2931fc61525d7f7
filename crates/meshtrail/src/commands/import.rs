//! `sessions import`: recordings of tsrecorder, or a node's own session logs, taken in file by file.
//!
//! - Each file is hashed first and sent only if nothing here has its bytes: an import can be repeated, or go on where
//!   it was cut off.
//! - A file that is no recording is named with the reason and passed over; the exit status tells.
//! - Memory does not grow with the files or their number.

mod found;

use std::io::{IsTerminal, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use http::StatusCode;
use meshtrail_event::text::visible;
use meshtrail_server::api::imports::ImportAnswer;
use meshtrail_server::direct::{self, Held};
use meshtrail_trail::store::ForeignBucket;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::api::{Api, Refused, path};
use crate::args::{SessionImport, Source};
use crate::local;
use crate::output::{line, note};
use found::Found;

/// Bytes hashed at a time.
const PIECE: usize = 256 << 10;

/// Takes everything in that is named.
pub(crate) async fn run(import: SessionImport) -> Result<ExitCode> {
    let place = Place::open(&import.from)?;
    let to = Taker::open(&import.asking.source, import.dry_run).await?;
    let all = place.count().await?;
    if all == 0 {
        note(&format!("There is no *.cast file in {}.", import.from));
        return to.close(Ok(ExitCode::SUCCESS)).await;
    }
    let mut tally = Tally { all, ..Tally::default() };
    let taken = place.each(&to, &import, &mut tally).await;
    tally.clear();
    note(&tally.words(import.dry_run));
    let code = if tally.skipped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    to.close(taken.map(|()| code)).await
}

/// Where the files are.
enum Place {
    Disk(PathBuf),
    Bucket(ForeignBucket),
}

impl Place {
    fn open(from: &str) -> Result<Place> {
        if from.contains("://") {
            return Ok(Place::Bucket(ForeignBucket::open(from)?));
        }
        let path = PathBuf::from(from);
        if !path.exists() {
            bail!("{from} does not exist");
        }
        Ok(Place::Disk(std::path::absolute(path)?))
    }

    async fn count(&self) -> Result<u64> {
        match self {
            Place::Disk(path) => {
                Ok(found::on_disk(path).map(|found| found.map(|_| 1)).sum::<Result<u64, _>>()?)
            }
            Place::Bucket(bucket) => {
                let (mut all, mut objects) = (0, bucket.list());
                while let Some(object) = objects.next().await {
                    all += u64::from(found::is_cast(&object?.key));
                }
                Ok(all)
            }
        }
    }

    async fn each(&self, to: &Taker, import: &SessionImport, tally: &mut Tally) -> Result<()> {
        match self {
            Place::Disk(path) => {
                for file in found::on_disk(path) {
                    let file = file?;
                    let found = Found::at(&file.to_string_lossy(), import.node.as_deref());
                    one(to, &found, &file, import, tally).await?;
                }
            }
            Place::Bucket(bucket) => {
                let mut objects = bucket.list();
                while let Some(object) = objects.next().await {
                    let object = object?;
                    if !found::is_cast(&object.key) {
                        continue;
                    }
                    let fetched = fetch(bucket, &object.key).await?;
                    let from = format!("{}/{}", bucket.name(), object.key);
                    one(to, &Found::at(&from, import.node.as_deref()), fetched.path(), import, tally).await?;
                }
            }
        }
        Ok(())
    }
}

/// An object's bytes, in a file that goes with its handle.
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

/// What became of one file, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    from: &'a str,
    /// `imported`, `known`, `skipped`, or `new` of a dry run.
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

async fn one(
    to: &Taker,
    found: &Found,
    file: &Path,
    import: &SessionImport,
    tally: &mut Tally,
) -> Result<()> {
    let taken = take(to, found, file, import.dry_run).await;
    tally.clear();
    match taken {
        Ok(answer) => {
            *(if answer.outcome == "known" { &mut tally.known } else { &mut tally.new }) += 1;
            let said = Line {
                from: &found.from,
                outcome: &answer.outcome,
                session: Some(answer.session.as_str()).filter(|session| !session.is_empty()),
                reason: answer.reason.as_deref(),
            };
            tell(&said, import.asking.json)?;
        }
        Err(error) => {
            let Some(reason) = no_recording(&error) else {
                return Err(
                    error.context(format!("stopped at {}; what was taken in stays", visible(&found.from)))
                );
            };
            tally.skipped += 1;
            let said = Line { from: &found.from, outcome: "skipped", session: None, reason: Some(&reason) };
            tell(&said, import.asking.json)?;
        }
    }
    tally.show();
    Ok(())
}

fn tell(said: &Line<'_>, json: bool) -> Result<()> {
    if json {
        return Ok(line(&serde_json::to_string(said)?)?);
    }
    let reason = said.reason.map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
    match said.outcome {
        "skipped" => note(&format!("skipped   {}{reason}", visible(said.from))),
        // Files that are here already are counted, not named: a second run would name them all.
        "known" => {}
        outcome => {
            line(&format!("{outcome:<9} {:<26} {}{reason}", said.session.unwrap_or("-"), visible(said.from)))?
        }
    }
    Ok(())
}

/// The reason, if the file itself is why it was not taken in.
fn no_recording(error: &anyhow::Error) -> Option<String> {
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return (refused.status == StatusCode::BAD_REQUEST).then(|| refused.detail().to_owned());
    }
    error.downcast_ref::<std::io::Error>().map(ToString::to_string)
}

async fn take(to: &Taker, found: &Found, file: &Path, dry_run: bool) -> Result<ImportAnswer> {
    let sha256 = hash(file)?;
    let asked = to.api().get_json::<ImportAnswer>(&format!("/api/v1/sessions/imports/{sha256}")).await;
    match asked {
        Ok(known) => return Ok(known),
        Err(error)
            if error
                .downcast_ref::<Refused>()
                .is_some_and(|refused| refused.status == StatusCode::NOT_FOUND) => {}
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
    let parameters = [
        ("from", Some(found.from.clone())),
        ("node", found.node.clone()),
        ("started", found.started.map(|time| time.to_string())),
    ];
    let answer = to.api().upload(&path("/api/v1/sessions/imports", &parameters), file).await?;
    serde_json::from_slice(&answer).context("the answer to an import is not what was expected")
}

fn hash(file: &Path) -> std::io::Result<String> {
    let (mut file, mut hasher, mut piece) = (std::fs::File::open(file)?, Sha256::new(), vec![0; PIECE]);
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&piece[..length]);
    }
}

/// Who takes the files in: a server, or this process where none runs.
struct Taker {
    api: Api,
    held: Option<Held>,
}

impl Taker {
    async fn open(source: &Source, dry_run: bool) -> Result<Taker> {
        let api = match source.named_server() {
            Some(_) => Some(Api::open(source).await?),
            None => local::running(source).await?.map(Api::Remote),
        };
        if let Some(api) = api {
            return Ok(Taker { api, held: None });
        }
        if dry_run {
            return Ok(Taker { api: Api::open(source).await?, held: None });
        }
        let location = local::store_location(source)?;
        let opened = direct::open_to_write(&location, &local::folder(source), &source.trail).await;
        let held = opened.with_context(|| format!("the store {location} can't be written"))?;
        Ok(Taker { api: Api::Direct(Box::new(held.router().clone())), held: Some(held) })
    }

    fn api(&self) -> &Api {
        &self.api
    }

    async fn close<T>(self, with: Result<T>) -> Result<T> {
        drop(self.api);
        if let Some(held) = self.held {
            held.close().await;
        }
        with
    }
}

/// How far it is.
#[derive(Default)]
struct Tally {
    all: u64,
    new: u64,
    known: u64,
    skipped: u64,
}

impl Tally {
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
            // A terminal that is gone changes nothing about the import.
            drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        }
    }

    fn words(&self, dry_run: bool) -> String {
        let Tally { all, new, known, skipped } = self;
        let taken = if dry_run { "would be imported" } else { "imported" };
        format!("{all} files: {new} {taken}, {known} were here already, {skipped} skipped.")
    }
}
