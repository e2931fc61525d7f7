//! Developer chores, as `cargo xtask …`. `cargo xtask test` is the test command: what CI runs, and nothing else.

#[cfg(test)]
mod map_tests;
mod peers;
mod run;
mod suite;
mod tally;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::run::Run;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer chores")]
struct CommandLine {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Set up what is missing, then run every check and every test; the last line says how many passed
    Test,
    /// Format, lints, dependency rules and docs alone
    Check,
    /// Build the real peers of the tests into the cache
    Peers,
    /// The end-to-end tests alone: `cargo xtask e2e [topic] [-- test arguments]`
    E2e {
        /// One topic, such as `sessions`; all without it
        topic: Option<String>,
        /// Handed to the test binary
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// The browser tests alone
    Browser,
    /// The benchmarks, in release builds
    Bench {
        /// One benchmark; all without it
        name: Option<String>,
        /// Handed to the benchmark
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Write the checked-in files that are made from code (schema, OpenAPI, golden files) anew
    #[command(visible_aliases = ["schema", "openapi"])]
    Bless,
}

fn main() -> Result<()> {
    let workspace = Run::new()?;
    match CommandLine::parse().chore {
        Chore::Test => suite::test(&workspace),
        Chore::Check => suite::check(&workspace),
        Chore::Peers => suite::peers(&workspace),
        Chore::E2e { topic, arguments } => suite::end_to_end(&workspace, topic.as_deref(), &arguments),
        Chore::Browser => suite::browser(&workspace),
        Chore::Bench { name, arguments } => suite::bench(&workspace, name.as_deref(), &arguments),
        Chore::Bless => suite::bless(&workspace),
    }
}
