//! The filter language for people, and how it reads a trail.
//!
//! ```
//! use meshtrail_query::Filter;
//!
//! let filter = Filter::parse(r#"actor:alice@example.com kind:ssh.* -outcome:denied since:24h "rm -rf""#)?;
//! assert_eq!(filter.scan_hints().families.len(), 3);
//!
//! let error = Filter::parse("acotr:alice").unwrap_err();
//! assert_eq!(error.to_string(), "there is no field \"acotr\", at character 1: did you mean actor? \
//!                                Quote a text that holds a colon");
//! # Ok::<(), meshtrail_query::FilterError>(())
//! ```
//!
//! - [`Filter`]: what a person asked for; held against leaves, and written out in one form.
//! - [`FilterError`]: what is wrong, where, and what would be right.
//! - [`query`]: a page of a trail's matching leaves, newest or oldest first, within a bound of work.
//! - [`tally`]: how many events, when, and with which values.
//! - [`completions`], [`tokens`]: for whoever lets a person write a filter.
//!
//! `docs/filter-language.md` is the language's own page. Who may see what is not known here.

mod address;
mod complete;
mod expr;
mod field;
mod filter;
pub mod flows;
mod hints;
mod matching;
mod moment;
mod page;
mod parse;
mod pattern;
mod problem;
mod strings;
pub mod tally;
mod token;
mod trail;
mod view;

pub use complete::{Completion, CompletionOption, completions};
pub use field::Field;
pub use filter::Filter;
pub use hints::{Needed, ScanHints};
pub use moment::instant;
pub use page::{Ask, Cursor, CursorError, Order, Page, Start, page};
pub use parse::MAX_FILTER;
pub use problem::{FilterError, Span};
pub use token::{Token, TokenKind, tokens};
pub use trail::{query, query_with};
