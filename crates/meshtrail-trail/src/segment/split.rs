//! Splitting a leaf's members into columns.

use meshtrail_event::{ColumnType, EventId, Member};

use super::forms::{parse_hash, parse_time, split_address};
use super::intern::Interner;
use super::json::{Cursor, Quoted, unescape};
use super::plan::{Form, Format, INDEX, Plan, split_nanos};

/// The values of one column, for the rows that have one.
pub(super) struct ColumnBuffer {
    /// Rows that have a value, ascending.
    pub(super) rows: Vec<u32>,
    pub(super) values: Values,
}

pub(super) enum Values {
    Numbers(Vec<i64>),
    Texts { ids: Vec<u32>, distinct: Interner },
    Hashes(Vec<[u8; 32]>),
}

/// Splits leaves into columns, row by row.
pub(super) struct Splitter {
    plan: &'static Plan,
    columns: Vec<ColumnBuffer>,
    row: u32,
    unescaped: Vec<u8>,
    overlay: Overlay,
}

/// The members without a column, as the text of an object that is nested like the leaf.
#[derive(Default)]
struct Overlay {
    text: Vec<u8>,
    /// The number of objects around the current member that are open in the text.
    open: usize,
    around: Vec<&'static str>,
}

impl Splitter {
    pub(super) fn new(plan: &'static Plan) -> Self {
        let columns = plan.columns.iter().map(|column| ColumnBuffer::new(column.form)).collect();
        Self { plan, columns, row: 0, unescaped: Vec::new(), overlay: Overlay::default() }
    }

    pub(super) fn finish(self) -> Vec<ColumnBuffer> {
        self.columns
    }

    /// Adds a row. A leaf that is not an object, or could not be restored from columns, is stored whole.
    pub(super) fn push_row(&mut self, index: u64, leaf: &[u8], keep_whole: bool) {
        let split = !keep_whole && self.try_split(leaf);
        if !split {
            for column in &mut self.columns {
                column.discard_row(self.row);
            }
            self.text(self.plan.raw, leaf);
        }
        self.end_row(index, split);
    }

    /// Adds a row whose leaf is stored whole, and splits the members of `canonical` into columns as well.
    pub(super) fn push_whole_row(&mut self, index: u64, leaf: &[u8], canonical: &[u8]) {
        let split = self.try_split(canonical);
        if !split {
            for column in &mut self.columns {
                column.discard_row(self.row);
            }
        }
        self.text(self.plan.raw, leaf);
        self.end_row(index, split);
    }

    fn try_split(&mut self, leaf: &[u8]) -> bool {
        std::str::from_utf8(leaf).is_ok() && self.split(leaf).is_some()
    }

    fn end_row(&mut self, index: u64, split: bool) {
        if split && !self.overlay.text.is_empty() {
            self.overlay.close_to(0);
            self.overlay.text.push(b'}');
            let text = std::mem::take(&mut self.overlay.text);
            self.text(self.plan.rest, &text);
            self.overlay.text = text;
        }
        self.overlay.clear();
        self.number(INDEX, index as i64);
        self.row += 1;
    }

    fn split(&mut self, leaf: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(leaf);
        self.object(&mut cursor, &self.plan.layout.members)?;
        cursor.at_end().then_some(())
    }

    fn object<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        members: &'static [(&'static str, Member)],
    ) -> Option<()> {
        cursor.take(b'{')?;
        let mut next = members.iter();
        loop {
            let key = cursor.string()?;
            cursor.take(b':')?;
            // Both sides ascend, so a skipped member can't follow later.
            let candidate = next.as_slice().iter().position(|(name, _)| name.as_bytes() >= key.inner);
            let known = candidate.and_then(|skipped| {
                next = next.as_slice()[skipped..].iter();
                next.as_slice().first().filter(|(name, _)| name.as_bytes() == key.inner)
            });
            match known {
                Some((name, member)) => {
                    next.next();
                    self.sort_member(cursor, key, name, member)?;
                }
                None => self.overlay.put(key, cursor.value()?),
            }
            match cursor.peek()? {
                b',' => cursor.take(b',')?,
                _ => return cursor.take(b'}'),
            }
        }
    }

    #[inline]
    fn sort_member<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        key: Quoted<'a>,
        name: &'static str,
        member: &'static Member,
    ) -> Option<()> {
        let before = *cursor;
        let fits = match member {
            Member::Column(column) => self.column(cursor, *column).is_some(),
            Member::Object(members) => {
                let mut inside = *cursor;
                inside.take(b'{');
                if cursor.peek()? == b'{' && inside.peek()? != b'}' {
                    self.overlay.around.push(name);
                    self.object(cursor, members)?;
                    self.overlay.around.pop();
                    self.overlay.close_to(self.overlay.around.len());
                    return Some(());
                }
                false
            }
        };
        if !fits {
            *cursor = before;
            self.overlay.put(key, cursor.value()?);
        }
        Some(())
    }

    #[inline]
    fn column(&mut self, cursor: &mut Cursor<'_>, column: usize) -> Option<()> {
        let first = self.plan.first[column];
        match self.plan.layout.columns[column].column_type {
            ColumnType::Text | ColumnType::Symbol => {
                let text = cursor.string()?;
                if text.escaped {
                    let mut plain = std::mem::take(&mut self.unescaped);
                    plain.clear();
                    let known = unescape(text.inner, &mut plain);
                    if known.is_some() {
                        self.text(first, &plain);
                    }
                    self.unescaped = plain;
                    return known;
                }
                self.text(first, text.inner);
            }
            ColumnType::Json => {
                let value = cursor.value()?;
                self.text(first, value);
            }
            ColumnType::Int => {
                let number = cursor.integer()?;
                self.number(first, number);
            }
            ColumnType::Time => {
                let nanos = parse_time(cursor.string()?.inner)?;
                match self.plan.format {
                    Format::One => self.number(first, nanos),
                    Format::Two => {
                        let (micros, below) = split_nanos(nanos);
                        self.number(first, micros);
                        self.number(first + 1, below);
                    }
                }
            }
            ColumnType::Sha256 => {
                let hash = parse_hash(cursor.string()?.inner)?;
                self.hash(first, hash);
            }
            ColumnType::EventId => {
                let text = cursor.string().filter(|text| !text.escaped)?;
                let (source, epoch, sequence) = EventId::split_canonical(text.inner)?;
                self.text(first, source.as_bytes());
                self.number(first + 1, epoch as i64);
                self.number(first + 2, sequence as i64);
            }
            ColumnType::Address => {
                let text = cursor.string().filter(|text| !text.escaped)?;
                let (host, port) = split_address(text.inner);
                self.text(first, host);
                if let Some(port) = port {
                    self.number(first + 1, i64::from(port));
                }
            }
        }
        Some(())
    }

    #[inline]
    fn text(&mut self, column: usize, text: &[u8]) {
        let buffer = &mut self.columns[column];
        if let Values::Texts { ids, distinct } = &mut buffer.values {
            buffer.rows.push(self.row);
            ids.push(distinct.intern(text));
        }
    }

    #[inline]
    fn number(&mut self, column: usize, number: i64) {
        let buffer = &mut self.columns[column];
        if let Values::Numbers(numbers) = &mut buffer.values {
            buffer.rows.push(self.row);
            numbers.push(number);
        }
    }

    fn hash(&mut self, column: usize, hash: [u8; 32]) {
        let buffer = &mut self.columns[column];
        if let Values::Hashes(hashes) = &mut buffer.values {
            buffer.rows.push(self.row);
            hashes.push(hash);
        }
    }
}

impl Overlay {
    fn put(&mut self, key: Quoted<'_>, value: &[u8]) {
        if self.text.is_empty() {
            self.text.push(b'{');
        }
        for name in &self.around[self.open..] {
            comma(&mut self.text);
            self.text.push(b'"');
            self.text.extend_from_slice(name.as_bytes());
            self.text.extend_from_slice(b"\":{");
        }
        self.open = self.around.len();
        comma(&mut self.text);
        self.text.push(b'"');
        self.text.extend_from_slice(key.inner);
        self.text.extend_from_slice(b"\":");
        self.text.extend_from_slice(value);
    }

    #[inline]
    fn close_to(&mut self, depth: usize) {
        while self.open > depth {
            self.text.push(b'}');
            self.open -= 1;
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.around.clear();
        self.open = 0;
    }
}

/// Writes a comma, unless the last object in the text is empty. A value never ends in an open brace.
fn comma(text: &mut Vec<u8>) {
    if text.last() != Some(&b'{') {
        text.push(b',');
    }
}

impl ColumnBuffer {
    fn new(form: Form) -> Self {
        let values = match form {
            Form::Int | Form::Port | Form::Time | Form::Micros | Form::Nanos => Values::Numbers(Vec::new()),
            Form::Text | Form::Binary => Values::Texts { ids: Vec::new(), distinct: Interner::default() },
            Form::Hash => Values::Hashes(Vec::new()),
        };
        Self { rows: Vec::new(), values }
    }

    /// Whether each row has the same value or none in both.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.rows.len() == other.rows.len()
            && match (&self.values, &other.values) {
                (Values::Numbers(ours), Values::Numbers(theirs)) => ours == theirs,
                (Values::Texts { ids, distinct }, Values::Texts { ids: their_ids, distinct: theirs }) => {
                    distinct.equals(theirs) && ids == their_ids
                }
                (Values::Hashes(ours), Values::Hashes(theirs)) => ours == theirs,
                _ => false,
            }
            && self.rows == other.rows
    }

    /// Discards the value of `row`. A text that only this row had stays in the dictionary, unused.
    fn discard_row(&mut self, row: u32) {
        if self.rows.last() != Some(&row) {
            return;
        }
        self.rows.pop();
        match &mut self.values {
            Values::Numbers(numbers) => drop(numbers.pop()),
            Values::Texts { ids, .. } => drop(ids.pop()),
            Values::Hashes(hashes) => drop(hashes.pop()),
        }
    }
}
