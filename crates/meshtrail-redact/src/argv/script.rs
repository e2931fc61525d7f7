//! Secrets within a script of a shell: `sh -c '…'`, `ssh host '…'`, a line of history.
//!
//! The text is cut into words as a shell does it, each word with the place of every letter, and read command by command.
//! What a script takes from elsewhere (`$VAR`, `$(cat file)`) stays. A fingerprint is put where the secret stood, quotes
//! around it stay closed, so that the text still is one that a shell reads.

use std::ops::Range;

use super::command;
use super::programs::RESERVED;
use super::words::{Item, Operator, Word, split};
use crate::spans::{Span, merge};
use crate::text;

/// How deep scripts within scripts are read; what is deeper is read as plain text.
const MAX_DEPTH: usize = 4;

/// The secrets of a script.
pub(super) fn find(script: &str, depth: usize) -> Vec<Span> {
    if depth > MAX_DEPTH {
        return text::find(script);
    }
    let items = split(script);
    let mut spans = Vec::new();
    let commands: Vec<SimpleCommand<'_>> = simple_commands(&items);
    for (at, simple) in commands.iter().enumerate() {
        find_in_command(simple, depth, &mut spans);
        let read_by = commands.get(at + 1).filter(|_| simple.piped);
        if read_by.is_some_and(|reader| reads_password(reader)) {
            cut_printed(simple, &mut spans);
        }
        if reads_password(simple) {
            simple.here_strings.iter().for_each(|word| cut_given(word, &mut spans));
        }
    }
    let words = || items.iter().filter_map(|item| item.word());
    for nested in words().flat_map(|word| &word.substitutions) {
        let inner = find(&script[nested.clone()], depth + 1);
        spans.extend(inner.into_iter().map(|span| span.shifted(nested.start)));
    }
    // What stands across words: here-documents, settings, SQL.
    let spans = merge(spans);
    let references: Vec<Range<usize>> = words().flat_map(Word::raw_references).collect();
    let read: Vec<Range<usize>> = spans.iter().map(|span| span.range.clone()).collect();
    let mut across = text::find(script);
    across.retain(|span| !overlaps(&read, &span.range) && !overlaps(&references, &span.range));
    across.extend(spans);
    merge(across)
}

/// Whether one of the ranges, which are in order and apart, reaches into this one.
fn overlaps(ranges: &[Range<usize>], range: &Range<usize>) -> bool {
    let first = ranges.partition_point(|other| other.end <= range.start);
    ranges.get(first).is_some_and(|other| other.start < range.end)
}

/// The words between two operators.
struct SimpleCommand<'a> {
    words: Vec<&'a Word>,
    here_strings: Vec<&'a Word>,
    /// Whether what it prints goes to the next command.
    piped: bool,
}

fn simple_commands(items: &[Item]) -> Vec<SimpleCommand<'_>> {
    let mut commands = vec![SimpleCommand { words: Vec::new(), here_strings: Vec::new(), piped: false }];
    let mut items = items.iter().peekable();
    while let Some(item) = items.next() {
        let command = commands.last_mut().expect("there is one from the start");
        match item {
            Item::Word(word) => command.words.push(word),
            // A file's name is no argument, but may be a URL's or have a secret in it.
            Item::Operator(Operator::HereString) => {
                if let Some(Item::Word(word)) = items.next_if(|item| item.word().is_some()) {
                    command.here_strings.push(word);
                    command.words.push(word);
                }
            }
            Item::Operator(Operator::Redirect) => {}
            Item::Operator(operator) => {
                command.piped = *operator == Operator::Pipe;
                commands.push(SimpleCommand { words: Vec::new(), here_strings: Vec::new(), piped: false });
            }
        }
    }
    commands
}

fn find_in_command(simple: &SimpleCommand<'_>, depth: usize, spans: &mut Vec<Span>) {
    let words: Vec<&str> = simple.words.iter().map(|word| word.text()).collect();
    let mut found = Vec::new();
    command::find(&words, depth, &mut found);
    for (at, span) in found {
        push_raw(simple.words[at], span, spans);
    }
}

/// Adds a span of a word as one of the script, unless the word takes it from elsewhere.
fn push_raw(word: &Word, span: Span, spans: &mut Vec<Span>) {
    if !word.is_reference(&span.range) {
        spans.push(word.to_raw(span));
    }
}

/// Cuts a word that a command gets for a password. Of `user:password` the user stays.
fn cut_given(word: &Word, spans: &mut Vec<Span>) {
    let text = word.text();
    let colon = text.find(':').filter(|_| !text.contains(char::is_whitespace));
    push_raw(word, Span::plain(text, colon.map_or(0, |colon| colon + 1)..text.len()), spans);
}

/// Cuts what `echo` or `printf` prints.
fn cut_printed(simple: &SimpleCommand<'_>, spans: &mut Vec<Span>) {
    let mut words = simple.words.iter().skip_while(|word| RESERVED.contains(&word.text()));
    let prints =
        words.next().is_some_and(|word| matches!(base_name(word.text()), "echo" | "printf" | "print"));
    if !prints {
        return;
    }
    let format =
        |text: &str| matches!(text, "%s" | "%s\\n" | "-n" | "-e" | "-ne" | "-en" | "-E" | "-r" | "--");
    for word in words.filter(|word| !format(word.text())) {
        cut_given(word, spans);
    }
}

/// Whether a command reads a password from its standard input.
fn reads_password(simple: &SimpleCommand<'_>) -> bool {
    let words: Vec<&str> = simple.words.iter().map(|word| word.text()).collect();
    let flags = [
        "--password-stdin",
        "--passphrase-fd",
        "--with-token",
        "--token-stdin",
        "--pin-stdin",
        "--password-fd",
    ];
    let on_input = words.iter().any(|word| flags.iter().any(|flag| word.starts_with(flag)));
    let Some(program) = words.iter().find(|word| !RESERVED.contains(word) && !word.contains('=')) else {
        return false;
    };
    let short = |letter: char| {
        words.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))
    };
    on_input
        || match base_name(program) {
            "sudo" => {
                short('S')
                    || words.contains(&"--stdin")
                    || words.iter().any(|word| matches!(base_name(word), "chpasswd" | "passwd"))
            }
            "su" | "passwd" | "chpasswd" | "chgpasswd" | "kinit" | "cryptsetup" | "smbpasswd"
            | "newusers" | "pw" | "ssh-add" | "mkpasswd" => true,
            "htpasswd" => short('i'),
            "openssl" => words.iter().any(|word| matches!(*word, "stdin" | "passwd" | "-stdin")),
            "mysql" | "mysqldump" | "mariadb" => words.contains(&"-p"),
            "vault" | "bao" => {
                words.contains(&"login")
                    || words.contains(&"-")
                    || words.iter().any(|word| word.ends_with("=-"))
            }
            "kubectl" | "oc" => {
                words.contains(&"secret") && words.iter().any(|word| word.contains("/dev/stdin"))
            }
            "pass" => words.contains(&"insert"),
            "secret-tool" => words.contains(&"store"),
            "gh" | "wrangler" | "docker" | "podman" => {
                words.iter().any(|word| matches!(*word, "secret" | "secrets"))
            }
            _ => false,
        }
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}
