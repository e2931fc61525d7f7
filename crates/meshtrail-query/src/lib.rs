//! The filter language, and queries of a trail with it.
//!
//! ```
//! use meshtrail_query::Filter;
//!
//! let filter = Filter::parse(r#"actor:alice@example.com kind:ssh.* -outcome:denied since:24h "rm -rf""#)?;
//! assert_eq!(filter.scan_hints().families.len(), 4);
//!
//! let error = Filter::parse("acotr:alice").unwrap_err();
//! assert_eq!(error.to_string(), "there is no field \"acotr\", at character 1: did you mean actor? \
//!                                Quote a text that holds a colon");
//! # Ok::<(), meshtrail_query::FilterError>(())
//! ```
//!
//! - [`Filter`]: a parsed filter; matched against leaves, and formatted in a canonical form.
//! - [`FilterError`]: what is wrong with a filter, where, and a suggestion.
//! - [`query`]: a page of a trail's matching leaves, newest or oldest first, with bounded work.
//! - [`tally`]: counts of events by time and by values.
//! - [`completions`], [`tokens`], [`term()`], [`quote`]: for editors of filters.
//!
//! `docs/filter-language.md` documents the language. Authorisation is left to the callers.

mod address;
mod complete;
mod error;
mod expr;
mod field;
mod filter;
mod hints;
mod matching;
mod page;
mod parse;
mod pattern;
mod requirement;
mod strings;
pub mod tally;
mod term;
mod time_expr;
mod token;
mod trail;
mod view;

pub use complete::{Completion, CompletionOption, completions};
pub use error::{FilterError, Span};
pub use field::Field;
pub use filter::Filter;
pub use hints::ScanHints;
pub use page::{Cursor, CursorError, Order, Page, PageRequest, Start, page};
pub use parse::MAX_FILTER;
pub use pattern::quote;
pub use requirement::{RequiredColumn, Requirement};
pub use term::{quoted_value, term};
pub use time_expr::instant;
pub use token::{Token, TokenKind, tokens};
pub use trail::{LateKnowledge, query, query_with};
