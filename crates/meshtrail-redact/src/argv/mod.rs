//! Secrets in lists of arguments: what a process was started with, what `kubectl exec` asks for, what a session runs.
//!
//! - Only the secret is cut: the program, its options and what it works on stay.
//! - Which letters are a password depends on the program that gets them: [`programs`] is the table.
//! - A script within an argument (`sh -c`, `ssh host`) is read as the shell reads it.

mod argument;
mod audit;
mod command;
mod programs;
mod quote;
mod script;
mod words;

pub(crate) use audit::{decode_value, split_title};
pub use quote::shell_text;

use crate::spans::{Span, merge};

/// The secrets of a list of arguments, for each of them.
pub(crate) fn find(words: &[&str]) -> Vec<Vec<Span>> {
    let mut found = Vec::new();
    command::find(words, 0, &mut found);
    let mut spans = vec![Vec::new(); words.len()];
    for (at, span) in found {
        spans[at].push(span);
    }
    spans.into_iter().map(merge).collect()
}

/// The secrets of a command that is text, as a shell gets it.
pub(crate) fn find_in_script(script: &str) -> Vec<Span> {
    script::find(script, 0)
}
