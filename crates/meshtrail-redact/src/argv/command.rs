//! Reads the words of a command, and the commands within it, for secrets.
//!
//! The words are what the program gets: quotes are resolved. A program that runs another one (`sudo`, `docker exec`,
//! `kubectl exec … --`) hands over to it, so that each option is read as the program that gets it reads it.

use std::ops::Range;

use super::programs::{Program, RESERVED, Rule, lookup};
use super::script;
use crate::names::{Secrecy, classify, is_count};
use crate::spans::Span;
use crate::values::{is_path, is_possible_secret};

/// How many leading words of a command are kept as its subcommands.
const MAX_SUBCOMMANDS: usize = 8;

/// Verbs after which a word named like a secret is followed by it: `aws configure set aws_secret_access_key …`.
const SETTERS: &[&str] = &["set", "config", "configure", "modify", "connect", "add", "setenv", "put"];

/// Words that are named like a secret and are followed by the name of one.
const KINDS_OF_OBJECTS: &[&str] = &[
    "secret",
    "secrets",
    "credential",
    "credentials",
    "token",
    "tokens",
    "cookie",
    "password",
    "passwords",
    "pass",
];

/// A secret within one of the words.
pub(super) type Found = Vec<(usize, Span)>;

/// Adds the secrets of a command's words. `depth` counts the scripts around it.
pub(super) fn find(words: &[&str], depth: usize, found: &mut Found) {
    let mut scan = Scan { words, depth, found, command: Command::default() };
    let mut at = 0;
    while at < words.len() {
        at = scan.read(at).max(at + 1);
    }
}

/// What is known of the command whose words are read.
#[derive(Default)]
pub(super) struct Command<'a> {
    /// Whether the next word is read as an argument, not as a program.
    begun: bool,
    program: Option<&'static Program>,
    /// Whether a `--` was read.
    only_words: bool,
    /// Flags without a value so far.
    flags: String,
    /// The leading words that are no options.
    subcommands: Vec<&'a str>,
    /// How many words that are no options were read.
    words: usize,
}

impl<'a> Command<'a> {
    pub(super) fn has(&self, rule: impl Fn(&Rule) -> bool) -> bool {
        self.program.is_some_and(|program| program.has(rule))
    }

    fn is_after(&self, subcommand: &str) -> bool {
        self.subcommands.iter().any(|word| word.eq_ignore_ascii_case(subcommand))
    }

    fn push_word(&mut self, word: &'a str) {
        self.words += 1;
        if self.subcommands.len() < MAX_SUBCOMMANDS {
            self.subcommands.push(word);
        }
    }
}

pub(super) struct Scan<'a, 'f> {
    pub(super) words: &'a [&'a str],
    pub(super) depth: usize,
    pub(super) found: &'f mut Found,
    pub(super) command: Command<'a>,
}

impl<'a> Scan<'a, '_> {
    /// Reads a word, and the next one where it is this one's value. Returns where to go on.
    fn read(&mut self, at: usize) -> usize {
        let word = self.words[at];
        if !self.command.begun {
            return self.read_program(at);
        }
        let command = &mut self.command;
        if !command.only_words && word == "--" {
            match command.program.is_some_and(Program::runs) {
                true => *command = Command::default(),
                false => command.only_words = true,
            }
            return at + 1;
        }
        match word.strip_prefix('-') {
            Some(rest) if !command.only_words && !rest.is_empty() => match rest.strip_prefix('-') {
                Some(_) => self.read_long(at, 2),
                None => self.read_short(at),
            },
            _ => self.read_word(at),
        }
    }

    fn read_program(&mut self, at: usize) -> usize {
        let word = self.words[at];
        if RESERVED.contains(&word) || is_assignment(word) {
            self.read_argument(at, 0..word.len());
            return at + 1;
        }
        self.command.begun = true;
        if word.starts_with('-') {
            return self.read(at);
        }
        self.command.program = lookup(word);
        self.read_argument(at, 0..word.len());
        at + 1
    }

    /// `--name=value`, `--name value`; `dashes` are in front of the name.
    fn read_long(&mut self, at: usize, dashes: usize) -> usize {
        let word = self.words[at];
        // `-password:secret` is Windows' way.
        let (name, equals) = match word[dashes..].find(['=', ':']) {
            Some(length) => (&word[dashes..dashes + length], Some(dashes + length)),
            None => (&word[dashes..], None),
        };
        let secrecy = self.long_secrecy(name);
        if let Some(equals) = equals {
            self.read_option_value(at, equals + 1..word.len(), name, secrecy);
            return at + 1;
        }
        let stands_alone = self.command.has(|rule| {
            matches!(rule, Rule::AfterEquals(plain) if *plain == name) || matches!(rule, Rule::Search)
        });
        let takes_next = !matches!(secrecy, Reading::Argument | Reading::Possible) && !stands_alone;
        match self.words.get(at + 1) {
            Some(next) if takes_next && !is_option(next) => {
                self.read_option_value(at + 1, 0..next.len(), name, secrecy);
                at + 2
            }
            _ => {
                self.read_argument(at, 0..word.len());
                at + 1
            }
        }
    }

    fn long_secrecy(&self, name: &str) -> Reading {
        let command = &self.command;
        for rule in command.program.map_or(&[][..], |program| program.rules) {
            match *rule {
                Rule::Plain(plain) if plain == name => return Reading::Argument,
                Rule::Long(long) if long == name => return Reading::Secret,
                Rule::LongAfter(subcommand, long) if long == name && command.is_after(subcommand) => {
                    return Reading::Secret;
                }
                Rule::LongPair(long, between) if long == name => return Reading::Pair(between),
                Rule::Values(subcommand, Some(option)) if option == name && command.is_after(subcommand) => {
                    return Reading::NamedValue;
                }
                _ => {}
            }
        }
        match classify(name) {
            Secrecy::Secret if name.ends_with("creds") || name.ends_with("credentials") => Reading::Pair(':'),
            Secrecy::Secret => Reading::Secret,
            Secrecy::Possible => Reading::Possible,
            Secrecy::None if takes_list(name) => Reading::List,
            Secrecy::None => Reading::Argument,
        }
    }

    fn read_option_value(&mut self, at: usize, range: Range<usize>, name: &str, reading: Reading) {
        let value = &self.words[at][range.clone()];
        match reading {
            Reading::Secret if value.starts_with("pass:") => {
                self.cut(at, range.start + "pass:".len()..range.end)
            }
            Reading::Secret if is_count(name, value) => {}
            Reading::Secret => self.cut(at, range),
            Reading::Possible if is_possible_secret(value) => self.cut(at, range),
            Reading::Pair(between) => self.cut_pair(at, range, between),
            Reading::NamedValue => match value.find('=') {
                Some(equals) => self.cut(at, range.start + equals + 1..range.end),
                None => self.read_argument(at, range),
            },
            Reading::List => self.read_list(at, range),
            Reading::Argument | Reading::Possible => self.read_argument(at, range),
        }
    }

    /// `-p value`, `-pvalue`, several flags in one word, or a long name behind one dash.
    fn read_short(&mut self, at: usize) -> usize {
        let word = self.words[at];
        let Some(program) = self.command.program else { return self.read_single_dash(at) };
        if self.is_long_behind_one_dash(&word[1..]) {
            return self.read_long(at, 1);
        }
        for (offset, letter) in word.char_indices().skip(1) {
            let rest = offset + letter.len_utf8()..word.len();
            if let Some(reading) = self.short_secrecy(program, letter) {
                return self.read_short_value(at, rest, reading);
            }
            if program.with_value.contains(letter) {
                if rest.is_empty() {
                    return self.skip_value(at + 1);
                }
                self.read_argument(at, rest);
                return at + 1;
            }
            self.command.flags.push(letter);
        }
        self.read_single_dash(at)
    }

    /// A value that is no secret as a whole, but may have one in it.
    fn skip_value(&mut self, at: usize) -> usize {
        let Some(value) = self.words.get(at) else { return at };
        // An option that takes no value in this version would hide the command behind it.
        if self.command.program.is_some_and(Program::runs) && lookup(value).is_some() {
            self.command = Command::default();
            return self.read_program(at);
        }
        self.read_argument(at, 0..value.len());
        at + 1
    }

    fn is_long_behind_one_dash(&self, rest: &str) -> bool {
        let name = rest.split('=').next().unwrap_or_default();
        self.command.has(|rule| matches!(rule, Rule::Long(long) | Rule::LongPair(long, _) if *long == name))
    }

    fn short_secrecy(&self, program: &Program, letter: char) -> Option<ShortReading> {
        program.rules.iter().find_map(|rule| match *rule {
            Rule::Attached(short) if short == letter => Some(ShortReading::Attached),
            Rule::Short(short) if short == letter => Some(ShortReading::Value(Reading::Secret)),
            Rule::ShortAfter(subcommand, short) if short == letter && self.command.is_after(subcommand) => {
                Some(ShortReading::Value(Reading::Secret))
            }
            Rule::Pair(short, between) if short == letter => {
                Some(ShortReading::Value(Reading::Pair(between)))
            }
            Rule::Cookie(short) if short == letter => Some(ShortReading::Cookie),
            Rule::Script(short) if short == letter => Some(ShortReading::Script),
            _ => None,
        })
    }

    fn read_short_value(&mut self, at: usize, rest: Range<usize>, reading: ShortReading) -> usize {
        let (value_at, range, next) = match (rest.is_empty(), self.words.get(at + 1)) {
            (false, _) => (
                at,
                rest.start + usize::from(self.words[at][rest.clone()].starts_with('='))..rest.end,
                at + 1,
            ),
            (true, Some(value)) => (at + 1, 0..value.len(), at + 2),
            (true, None) => return at + 1,
        };
        match reading {
            ShortReading::Attached if rest.is_empty() => return at + 1,
            ShortReading::Attached => self.cut(at, rest),
            ShortReading::Value(reading) => self.read_option_value(value_at, range, "", reading),
            ShortReading::Cookie if self.words[value_at].contains('=') => self.cut(value_at, range),
            ShortReading::Cookie => {}
            // The letters behind it are flags of the shell; the script is the next word that is no option.
            ShortReading::Script => return self.read_script(at + 1),
        }
        next
    }

    fn read_script(&mut self, mut at: usize) -> usize {
        while self.words.get(at).is_some_and(|word| word.len() > 1 && word.starts_with(['-', '+'])) {
            at += 1;
        }
        if let Some(script) = self.words.get(at) {
            let spans = script::find(script, self.depth + 1);
            self.found.extend(spans.into_iter().map(|span| (at, span)));
        }
        at + 1
    }

    /// `-name=value`, `-name value` as Go and Java programs have it.
    fn read_single_dash(&mut self, at: usize) -> usize {
        let word = self.words[at];
        let name = word[1..].split('=').next().unwrap_or_default();
        if name.len() >= 3 && classify(name) == Secrecy::Secret || word.contains('=') {
            return self.read_long(at, 1);
        }
        self.read_argument(at, 0..word.len());
        at + 1
    }

    /// A word that is no option.
    fn read_word(&mut self, at: usize) -> usize {
        let word = self.words[at];
        if self.begins_command(word) {
            let is_script = word.contains(char::is_whitespace)
                && self.command.has(|rule| matches!(rule, Rule::RunsScript(_)));
            self.command = Command::default();
            return if is_script { self.read_script(at) } else { self.read_program(at) };
        }
        if self.cut_by_word_rule(at) {
            self.command.push_word(word);
            return at + 1;
        }
        let next = self.read_named_pair(at).or_else(|| self.read_header_in_words(at));
        self.command.push_word(word);
        next.unwrap_or_else(|| {
            self.read_argument(at, 0..word.len());
            at + 1
        })
    }

    fn begins_command(&self, word: &str) -> bool {
        let command = &self.command;
        let Some(program) = command.program else { return lookup(word).is_some() };
        program.rules.iter().any(|rule| match *rule {
            Rule::Runs(words) | Rule::RunsScript(words) => command.words >= words,
            Rule::RunsKnown => command.words > 0 && lookup(word).is_some(),
            _ => false,
        })
    }

    /// Words that are secrets by their place.
    fn cut_by_word_rule(&mut self, at: usize) -> bool {
        let (word, command) = (self.words[at], &self.command);
        let rules = command.program.map_or(&[][..], |program| program.rules);
        let place = |subcommand: &str| match subcommand {
            "" => Some(command.words),
            _ => {
                let found =
                    command.subcommands.iter().rposition(|word| word.eq_ignore_ascii_case(subcommand))?;
                Some(command.words - found - 1)
            }
        };
        let last = at + 1 == self.words.len();
        for rule in rules {
            match *rule {
                Rule::Word(subcommand, nth) if place(subcommand) == Some(nth) && !word.contains('=') => {
                    self.cut(at, 0..word.len());
                    return true;
                }
                Rule::LastWith(flag) if last && command.words > 0 && command.flags.contains(flag) => {
                    self.cut(at, 0..word.len());
                    return true;
                }
                Rule::Values(subcommand, None) if command.is_after(subcommand) && is_assignment(word) => {
                    let equals = word.find('=').expect("an assignment has one");
                    if !word[equals + 1..].starts_with('@') {
                        self.cut(at, equals + 1..word.len());
                    }
                    return true;
                }
                Rule::SlashPair if word.contains('/') && !is_path(word) && !word.starts_with(['/', '@']) => {
                    let slash = word.find('/').expect("it has one");
                    let end = word.rfind('@').filter(|at| *at > slash).unwrap_or(word.len());
                    self.cut(at, slash + 1..end);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// `set NAME SECRET` in words of their own.
    fn read_named_pair(&mut self, at: usize) -> Option<usize> {
        let (word, command) = (self.words[at], &self.command);
        let is_name = !word.contains('=') && !word.contains(char::is_whitespace) && !word.ends_with(':');
        let after_setter = command
            .subcommands
            .iter()
            .any(|word| SETTERS.iter().any(|setter| word.eq_ignore_ascii_case(setter)))
            || command.program.is_none() && SETTERS.contains(&word);
        let plain = command
            .has(|rule| matches!(rule, Rule::Search) || matches!(rule, Rule::Plain(plain) if *plain == word));
        let object =
            KINDS_OF_OBJECTS.contains(&word) && !command.is_after("connect") && !command.is_after("modify");
        if !is_name || !after_setter || plain || object || classify(last_part(word)) != Secrecy::Secret {
            return None;
        }
        let value = self.words.get(at + 1).filter(|value| !is_option(value))?;
        self.cut(at + 1, 0..value.len());
        Some(at + 2)
    }

    /// `Authorization: Bearer SECRET` without quotes, in words of their own.
    fn read_header_in_words(&mut self, at: usize) -> Option<usize> {
        let name = self.words[at].strip_suffix(':')?;
        if name.contains(char::is_whitespace)
            || classify(name) != Secrecy::Secret
            || self.command.has(|rule| matches!(rule, Rule::Search))
        {
            return None;
        }
        let scheme = ["bearer", "basic", "token", "digest", "apikey"];
        let has_scheme = self
            .words
            .get(at + 1)
            .is_some_and(|word| scheme.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)));
        let value_at = at + 1 + usize::from(has_scheme);
        let value = self.words.get(value_at).filter(|value| !is_option(value))?;
        self.cut(value_at, 0..value.len());
        Some(value_at + 1)
    }
}

/// How the value of an option is read.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Secret,
    Possible,
    Pair(char),
    NamedValue,
    List,
    Argument,
}

/// How what follows a short option is read.
#[derive(Debug, Clone, Copy)]
enum ShortReading {
    Attached,
    Value(Reading),
    Cookie,
    Script,
}

/// Whether a word is an option by its form, and not a secret that begins with a dash.
fn is_option(word: &str) -> bool {
    let name = word
        .strip_prefix('-')
        .map(|rest| rest.strip_prefix('-').unwrap_or(rest))
        .map(|rest| rest.split('=').next().unwrap_or_default());
    name.is_some_and(|name| {
        name.is_empty()
            || name.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && name.chars().all(|l| l.is_ascii_alphanumeric() || "-_.".contains(l))
    })
}

/// `//registry.example.com/:_authToken` is named like a secret, `secret/shop` is not.
fn last_part(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

/// Options whose value is a list of `NAME=VALUE`.
fn takes_list(name: &str) -> bool {
    matches!(name, "set" | "set-string" | "set-json" | "opt" | "options" | "mount" | "config" | "values")
}

/// `NAME=…`, as a shell or env has it.
fn is_assignment(word: &str) -> bool {
    name_length(word)
        .is_some_and(|(length, operator)| operator == b'=' && length > 0 && !word.starts_with('-'))
}

/// The length of a name at the start of a text, and the `=` or `:` behind it.
pub(super) fn name_length(text: &str) -> Option<(usize, u8)> {
    let is_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b'/' | b'@' | b'+')
    };
    let length = text.bytes().take(256).take_while(|byte| is_name(byte)).count();
    let operator = *text.as_bytes().get(length)?;
    (length > 0 && matches!(operator, b'=' | b':')).then_some((length, operator))
}
