//! Joining the columns of a row to the leaf's exact bytes.

use meshtrail_event::{ColumnType, Member};

use super::forms::{TimeWriter, write_address, write_hash};
use super::json::{Cursor, Quoted, write_integer};
use super::page::Column;
use super::plan::Plan;

/// Objects nest no deeper in any layout.
const DEEPEST: usize = 8;

/// Joins the rows of one page.
pub(super) struct Joiner<'p> {
    plan: &'static Plan,
    columns: &'p [Column],
    /// The steps of writing, without members that no row of the page has.
    steps: Vec<Step>,
    times: TimeWriter,
}

enum Step {
    Column { key: Box<[u8]>, column: usize },
    Open { key: Box<[u8]> },
    Close,
}

impl<'p> Joiner<'p> {
    /// `columns` are all columns of the plan.
    pub(super) fn new(plan: &'static Plan, columns: &'p [Column]) -> Self {
        let mut joiner = Self { plan, columns, steps: Vec::new(), times: TimeWriter::default() };
        joiner.add_steps(&plan.layout.members);
        joiner
    }

    fn add_steps(&mut self, members: &'static [(&'static str, Member)]) {
        for (name, member) in members {
            match member {
                Member::Column(column) => {
                    if !matches!(self.columns[self.plan.first[*column]], Column::Nothing) {
                        let key = format!("\"{name}\":").into_bytes().into();
                        self.steps.push(Step::Column { key, column: *column });
                    }
                }
                Member::Object(members) => {
                    let before = self.steps.len();
                    self.steps.push(Step::Open { key: format!("\"{name}\":{{").into_bytes().into() });
                    self.add_steps(members);
                    if self.steps.len() == before + 1 {
                        self.steps.pop();
                    } else {
                        self.steps.push(Step::Close);
                    }
                }
            }
        }
    }

    /// Appends the leaf of `row`; none if the columns contradict each other.
    #[inline]
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Option<()> {
        if let Some(whole) = self.columns[self.plan.raw].text(row) {
            out.extend_from_slice(whole);
            return Some(());
        }
        let columns = self.columns;
        if let Some(rest) = columns[self.plan.rest].text(row) {
            return self.merge(&self.plan.layout.members, &mut Cursor::new(rest), row, out);
        }
        let mut starts = [0; DEEPEST];
        let mut depth = 0;
        out.push(b'{');
        let steps = std::mem::take(&mut self.steps);
        for step in &steps {
            match step {
                Step::Column { key, column } => {
                    if self.columns[self.plan.first[*column]].has(row) {
                        comma(out);
                        out.extend_from_slice(key);
                        self.value(*column, row, out);
                    }
                }
                Step::Open { key } => {
                    starts[depth] = out.len();
                    depth += 1;
                    comma(out);
                    out.extend_from_slice(key);
                }
                Step::Close => {
                    depth -= 1;
                    close(starts[depth], out);
                }
            }
        }
        self.steps = steps;
        out.push(b'}');
        Some(())
    }

    #[inline]
    fn value(&mut self, column: usize, row: usize, out: &mut Vec<u8>) {
        let first = self.plan.first[column];
        let values = &self.columns[first];
        match self.plan.layout.columns[column].column_type {
            ColumnType::Text | ColumnType::Symbol => values.write_quoted(row, out),
            ColumnType::Json => out.extend_from_slice(values.text(row).unwrap_or_default()),
            ColumnType::Int => write_integer(values.number(row).unwrap_or_default(), out),
            ColumnType::Time => {
                out.push(b'"');
                let nanos = self.plan.nanos(self.columns, first, row).unwrap_or_default();
                self.times.write(nanos, out);
                out.push(b'"');
            }
            ColumnType::Sha256 => {
                out.push(b'"');
                write_hash(values.hash(row).unwrap_or_default(), out);
                out.push(b'"');
            }
            ColumnType::EventId => {
                out.push(b'"');
                out.extend_from_slice(values.text(row).unwrap_or_default());
                for part in [first + 1, first + 2] {
                    out.push(b'.');
                    write_integer(self.columns[part].number(row).unwrap_or_default(), out);
                }
                out.push(b'"');
            }
            ColumnType::Address => {
                let port = self.columns[first + 1].number(row);
                write_address(values.text(row).unwrap_or_default(), port, out);
            }
        }
    }

    /// Writes an object with the columns' members and those at `rest`, which is advanced past its object.
    fn merge(
        &mut self,
        members: &'static [(&'static str, Member)],
        rest: &mut Cursor<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.push(b'{');
        rest.take(b'{')?;
        let mut other = next_key(rest, true)?;
        for (name, member) in members {
            while let Some(key) = other.filter(|key| key.inner < name.as_bytes()) {
                write_key(key.inner, out);
                out.extend_from_slice(rest.value()?);
                other = next_key(rest, false)?;
            }
            if other.is_none_or(|key| key.inner != name.as_bytes()) {
                self.member(name, member, row, out);
                continue;
            }
            write_key(name.as_bytes(), out);
            match member {
                Member::Object(members) if rest.peek() == Some(b'{') => {
                    self.merge(members, rest, row, out)?
                }
                _ => out.extend_from_slice(rest.value()?),
            }
            other = next_key(rest, false)?;
        }
        while let Some(key) = other {
            write_key(key.inner, out);
            out.extend_from_slice(rest.value()?);
            other = next_key(rest, false)?;
        }
        out.push(b'}');
        Some(())
    }

    fn member(&mut self, name: &'static str, member: &'static Member, row: usize, out: &mut Vec<u8>) {
        match member {
            Member::Column(column) => {
                if self.columns[self.plan.first[*column]].has(row) {
                    write_key(name.as_bytes(), out);
                    self.value(*column, row, out);
                }
            }
            Member::Object(members) => {
                let start = out.len();
                write_key(name.as_bytes(), out);
                out.push(b'{');
                for (name, member) in members {
                    self.member(name, member, row, out);
                }
                close(start, out);
            }
        }
    }
}

/// Reads the next key of an object and its colon; none at the object's end, which is read as well.
fn next_key<'a>(cursor: &mut Cursor<'a>, is_first: bool) -> Option<Option<Quoted<'a>>> {
    if cursor.peek()? == b'}' {
        cursor.take(b'}')?;
        return Some(None);
    }
    if !is_first {
        cursor.take(b',')?;
    }
    let key = cursor.string()?;
    cursor.take(b':')?;
    Some(Some(key))
}

#[inline]
fn comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

fn write_key(key: &[u8], out: &mut Vec<u8>) {
    comma(out);
    out.push(b'"');
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
}

/// Closes an object, or removes it if it has no member.
#[inline]
fn close(start: usize, out: &mut Vec<u8>) {
    if out.last() == Some(&b'{') {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
}
