//! The expression of a filter, and its canonical form.
//!
//! Parsing the canonical form yields the same expression again; a property test checks it.

use std::fmt;

use crate::address::AddressValue;
use crate::field::Field;
use crate::pattern::{Pattern, quote};
use crate::time_expr::TimeExpr;

/// The expression of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// All of these; with none, everything.
    All(Vec<Expr>),
    /// At least one of these.
    Any(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// A field has one of these values.
    Term(Field, Vec<Pattern>),
    /// An address of the actor or the target is one of these.
    Address(Vec<AddressValue>),
    /// Not before.
    Since(TimeExpr),
    /// Before.
    Until(TimeExpr),
}

impl Expr {
    /// All of `parts`, without nested lists.
    pub(crate) fn all(parts: Vec<Expr>) -> Expr {
        Expr::flatten(parts, Expr::All, |part| match part {
            Expr::All(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// Any of `parts`, without nested lists.
    pub(crate) fn any(parts: Vec<Expr>) -> Expr {
        Expr::flatten(parts, Expr::Any, |part| match part {
            Expr::Any(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// The negation.
    pub(crate) fn not(part: Expr) -> Expr {
        match part {
            Expr::Not(inner) => *inner,
            other => Expr::Not(Box::new(other)),
        }
    }

    fn flatten(
        parts: Vec<Expr>,
        join: fn(Vec<Expr>) -> Expr,
        open: fn(Expr) -> Result<Vec<Expr>, Expr>,
    ) -> Expr {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match open(part) {
                Ok(mut inner) => flat.append(&mut inner),
                Err(part) => flat.push(part),
            }
        }
        match <[Expr; 1]>::try_from(flat) {
            Ok([only]) => only,
            Err(flat) => join(flat),
        }
    }

    /// Whether `found` returns true for some term.
    pub(crate) fn any_term(&self, found: &mut dyn FnMut(&Expr) -> bool) -> bool {
        match self {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().any(|part| part.any_term(found)),
            Expr::Not(part) => part.any_term(found),
            term => found(term),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::All(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    f.write_str(if number > 0 { " " } else { "" })?;
                    match part {
                        Expr::Any(_) => write!(f, "({part})")?,
                        part => write!(f, "{part}")?,
                    }
                }
                Ok(())
            }
            Expr::Any(parts) => join(f, parts, " OR "),
            Expr::Not(part) => match &**part {
                Expr::All(_) | Expr::Any(_) => write!(f, "-({part})"),
                part => write!(f, "-{part}"),
            },
            Expr::Term(Field::Text, values) if values.len() == 1 => f.write_str(&word(&values[0])),
            Expr::Term(field, values) => {
                write!(f, "{}:", field.name())?;
                join(f, values, ",")
            }
            Expr::Address(values) => {
                f.write_str("address:")?;
                join(f, values, ",")
            }
            Expr::Since(time_expr) => write!(f, "since:{time_expr}"),
            Expr::Until(time_expr) => write!(f, "until:{time_expr}"),
        }
    }
}

fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T], between: &str) -> fmt::Result {
    for (number, part) in parts.iter().enumerate() {
        f.write_str(if number > 0 { between } else { "" })?;
        write!(f, "{part}")?;
    }
    Ok(())
}

/// Formats a text to be found anywhere: as a word if possible, else in quotes, or after `text:` where quotes would make its
/// wildcard an ordinary character.
fn word(pattern: &Pattern) -> String {
    let written = if pattern.is_wild() { pattern.text().to_owned() } else { pattern.to_string() };
    let is_word = !written.starts_with('-') && !written.contains(':') && written != "OR" && written != "AND";
    match (is_word || written.starts_with('"'), pattern.is_wild()) {
        (true, _) => written,
        (false, true) => format!("text:{written}"),
        (false, false) => quote(pattern.text()),
    }
}
