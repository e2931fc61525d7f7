//! The Parquet columns of a family, and the members of a leaf that they store.

use std::sync::{Arc, LazyLock};

use meshtrail_event::{ColumnType, Family, Layout};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::page::Column;
use super::{MAX_PAGE_ROWS, fields};

/// The index is the first column of each file.
pub(super) const INDEX: usize = 0;

/// Suffix of the column with the nanoseconds below a time's microsecond.
const BELOW_MICROS: &str = "_ns";

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Times in nanoseconds, columns without ids.
    One,
    /// Times in microseconds, with the nanoseconds below in another column; an id for each column.
    Two,
}

impl Format {
    const ALL: [Self; 2] = [Self::One, Self::Two];
    /// The format that is written.
    pub(super) const NEWEST: Self = Self::Two;

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number() == number)
    }
}

/// The physical type of a Parquet column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// INT64.
    Int,
    /// INT32, from 0 to 65,535.
    Port,
    /// TIMESTAMP in nanoseconds, UTC.
    Time,
    /// TIMESTAMP in microseconds, UTC.
    Micros,
    /// INT32, from 0 to 999: the nanoseconds below the microsecond of the column before.
    Nanos,
    /// STRING.
    Text,
    /// Bytes of any kind.
    Binary,
    /// 32 bytes.
    Hash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Physical {
    pub(super) name: String,
    pub(super) form: Form,
    /// Whether other programs get a Bloom filter for it.
    pub(super) is_looked_up: bool,
}

/// A family's columns in a file.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) format: Format,
    pub(super) layout: &'static Layout,
    /// Rows of a page: small pages are read faster, large ones take less space.
    pub(super) page_rows: usize,
    pub(super) columns: Vec<Physical>,
    /// For each column of the layout, the first of its one to three columns in the file.
    pub(super) first: Vec<usize>,
    /// The event's own id: source, epoch and sequence follow each other.
    pub(super) id: usize,
    pub(super) time: usize,
    /// Members that have no column, as a JSON object.
    pub(super) rest: usize,
    /// Leaves that are stored whole.
    pub(super) raw: usize,
    pub(super) schema: Arc<SchemaDescriptor>,
}

static PLANS: LazyLock<[Vec<Plan>; Format::ALL.len()]> = LazyLock::new(|| {
    Format::ALL.map(|format| Family::ALL.iter().map(|family| Plan::build(format, family.layout())).collect())
});

impl Plan {
    pub(super) fn of(format: Format, family: Family) -> &'static Self {
        let place = Family::ALL.iter().position(|&one| one == family);
        &PLANS[format as usize][place.expect("ALL holds every family")]
    }

    /// The columns of leaves in memory: times are whole, as in files of the first format.
    pub(super) fn in_memory(family: Family) -> &'static Self {
        Self::of(Format::One, family)
    }

    /// The time that begins at column `first`, in nanoseconds. Inconsistent columns yield some time: damage is detected by
    /// checksums and by the leaf's hash.
    #[inline]
    pub(super) fn nanos(&self, columns: &[Column], first: usize, row: usize) -> Option<i64> {
        let number = columns[first].number(row)?;
        Some(match self.format {
            Format::One => number,
            Format::Two => nanos_of(number, columns[first + 1].number(row).unwrap_or_default()),
        })
    }

    /// Converts the bounds of a time's column to nanoseconds.
    pub(super) fn nanos_between(&self, (least, most): (i64, i64)) -> (i64, i64) {
        match self.format {
            Format::One => (least, most),
            Format::Two => (least.saturating_mul(1000), most.saturating_mul(1000).saturating_add(999)),
        }
    }

    /// The columns of the event's own time.
    pub(super) fn time_columns(&self) -> std::ops::Range<usize> {
        match self.format {
            Format::One => self.time..self.time + 1,
            Format::Two => self.time..self.time + 2,
        }
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    pub(super) fn build(format: Format, layout: &'static Layout) -> Self {
        let mut columns = vec![Physical { name: "index".to_owned(), form: Form::Int, is_looked_up: false }];
        let mut first = Vec::new();
        for column in &layout.columns {
            first.push(columns.len());
            columns.extend(physical(format, &column.name, column.column_type));
        }
        for (name, form) in [("rest", Form::Text), ("raw", Form::Binary)] {
            columns.push(Physical { name: name.to_owned(), form, is_looked_up: false });
        }
        let at = |path: &[&str]| {
            let found = layout.columns.iter().position(|column| column.path == path);
            first[found.expect("every event has an id and a time")]
        };
        let (id, time) = (at(&["id"]), at(&["time"]));
        let (rest, raw) = (columns.len() - 2, columns.len() - 1);
        let schema = Arc::new(schema(format, &columns));
        let page_rows = page_rows(layout.family);
        Self { format, layout, page_rows, columns, first, id, time, rest, raw, schema }
    }
}

/// Rows of a page. Frequent and similar kinds get large pages; of the others a range of the trail has only a few rows, for
/// which a page of each of their files has to be read.
const fn page_rows(family: Family) -> usize {
    match family {
        Family::Flow => MAX_PAGE_ROWS,
        _ => 512,
    }
}

/// The inverse of [`split_nanos`]. Wraps on overflow, because a forged file may contain any numbers.
#[inline]
pub(super) const fn nanos_of(micros: i64, below: i64) -> i64 {
    micros.wrapping_mul(1000).wrapping_add(below)
}

/// Splits a time into microseconds and the nanoseconds below.
#[inline]
pub(super) const fn split_nanos(nanos: i64) -> (i64, i64) {
    (nanos.div_euclid(1000), nanos.rem_euclid(1000))
}

fn physical(format: Format, name: &str, of: ColumnType) -> Vec<Physical> {
    const LOOKED_UP: [&str; 6] = [
        "actor_login",
        "actor_device_id",
        "actor_device_name",
        "session",
        "target_device_id",
        "target_device_name",
    ];
    let is_looked_up = LOOKED_UP.contains(&name) || of == ColumnType::Address;
    let one = |name: String, form, is_looked_up| Physical { name, form, is_looked_up };
    match of {
        ColumnType::Text | ColumnType::Symbol | ColumnType::Json => {
            vec![one(name.to_owned(), Form::Text, is_looked_up)]
        }
        ColumnType::Int => vec![one(name.to_owned(), Form::Int, false)],
        ColumnType::Time => match format {
            Format::One => vec![one(name.to_owned(), Form::Time, false)],
            Format::Two => vec![
                one(name.to_owned(), Form::Micros, false),
                one(format!("{name}{BELOW_MICROS}"), Form::Nanos, false),
            ],
        },
        ColumnType::Sha256 => vec![one(name.to_owned(), Form::Hash, false)],
        ColumnType::EventId => vec![
            one(format!("{name}_source"), Form::Text, false),
            one(format!("{name}_epoch"), Form::Int, false),
            one(format!("{name}_sequence"), Form::Int, false),
        ],
        ColumnType::Address => vec![
            one(name.to_owned(), Form::Text, is_looked_up),
            one(format!("{name}_port"), Form::Port, false),
        ],
    }
}

fn schema(format: Format, columns: &[Physical]) -> SchemaDescriptor {
    let fields = columns.iter().enumerate().map(|(number, column)| {
        let (physical, logical) = match column.form {
            Form::Int => (PhysicalType::INT64, None),
            Form::Port | Form::Nanos => (PhysicalType::INT32, None),
            Form::Time => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
            Form::Micros => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Form::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Form::Binary => (PhysicalType::BYTE_ARRAY, None),
            Form::Hash => (PhysicalType::FIXED_LEN_BYTE_ARRAY, None),
        };
        let length = if column.form == Form::Hash { 32 } else { -1 };
        let repetition = if number == INDEX { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let id = match format {
            Format::One => None,
            Format::Two => Some(fields::id(&column.name, column.form).expect("every column has a field id")),
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_logical_type(logical)
            .with_length(length)
            .with_id(id)
            .with_repetition(repetition);
        Arc::new(field.build().expect("each form is a valid Parquet type"))
    });
    let root = Type::group_type_builder("event").with_fields(fields.collect());
    SchemaDescriptor::new(Arc::new(root.build().expect("a group of primitive columns")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_column_has_a_name_of_its_own() {
        for (format, family) in
            Format::ALL.into_iter().flat_map(|one| Family::ALL.map(|family| (one, family)))
        {
            let plan = Plan::of(format, family);
            let names: HashSet<_> = plan.columns.iter().map(|column| &column.name).collect();
            assert_eq!(names.len(), plan.columns.len(), "{family}");
            assert_eq!(plan.columns[plan.id + 2].name, "id_sequence", "{family}");
        }
    }
}
