//! The prototype behind docs/erasure.md: encrypted leaves, measured, and a person erased from them.
//!
//! `cargo run --release -p meshtrail-bench --bin erasure -- [--events N]` measures the mixed and the flow set: bytes of
//! segments and CPU of appending, encrypted beside plain, in one run; then it erases a person and checks what is left.
//!
//! `cargo run --release -p meshtrail-bench --bin erasure -- --case FILE --person ID --output FOLDER` encrypts the events of a
//! file of NDJSON, says what an erasure of the person closes, does it, and writes what is left to the folder: segments,
//! keys, and the events as they are shown then.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod case;
mod directory;
mod encrypt;
mod erase;
mod fast;
mod json;
mod keys;
mod measure;
mod memory;
mod open;
mod personal;
mod proofs;
mod token;
mod words;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
struct Args {
    /// Generated events of each set.
    #[arg(long, default_value_t = 262_144)]
    events: usize,
    /// Events as NDJSON, in place of measuring.
    #[arg(long, requires_all = ["person", "output"])]
    case: Option<PathBuf>,
    /// Whom to erase: the control plane's id.
    #[arg(long)]
    person: Option<String>,
    /// Where segments, keys and shown events are written.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Args::parse() {
        Args { case: Some(file), person: Some(person), output: Some(output), .. } => {
            case::run(&file, &person, &output).await
        }
        Args { events, .. } => measure::run(events).await,
    }
}
