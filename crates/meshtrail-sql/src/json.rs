//! JSON functions and operators, after Postgres'. JSON (`detail`, lists, objects) is stored as text.
//!
//! - `->` and `#>` return JSON, `->>` and `#>>` text; `?` tests for a member of an object or an element of a list. A
//!   missing step is null, and so is invalid JSON: no row fails a query.
//! - Only the values along a path are parsed; the rest is skipped.
//! - Functions have the names of Postgres' functions where those exist.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, StringBuilder, StringViewArray,
    StringViewBuilder,
};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::lit;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Registers the functions, and the operators that call them.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for operation in Operation::ALL {
        registry.register_udf(function(operation))?;
    }
    registry.register_expr_planner(Arc::new(Operators))
}

/// The operation of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    /// The value at a path, as JSON.
    Part,
    /// The value at a path, as text.
    Text,
    /// Whether an object has a member, or a list an element, of this name.
    Has,
    /// The length of a list.
    Length,
    /// The type of the value.
    Kind,
    /// The elements of a list, as texts.
    Elements,
    /// The keys of an object.
    Keys,
}

impl Operation {
    const ALL: [Self; 7] =
        [Self::Part, Self::Text, Self::Has, Self::Length, Self::Kind, Self::Elements, Self::Keys];

    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Part => ["json_extract_path", "jsonb_extract_path"],
            Self::Text => ["json_extract_path_text", "jsonb_extract_path_text"],
            Self::Has => ["json_exists_key", "jsonb_exists"],
            Self::Length => ["json_array_length", "jsonb_array_length"],
            Self::Kind => ["json_typeof", "jsonb_typeof"],
            Self::Elements => ["json_elements", "jsonb_elements"],
            Self::Keys => ["json_keys", "jsonb_keys"],
        }
    }

    const fn takes(self, arguments: usize) -> bool {
        match self {
            Self::Part | Self::Text => arguments > 1,
            Self::Has => arguments == 2,
            Self::Length | Self::Kind | Self::Elements | Self::Keys => arguments == 1,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    operation: Operation,
    signature: Signature,
    aliases: [String; 1],
}

fn function(operation: Operation) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let aliases = [operation.names()[1].to_owned()];
    Arc::new(ScalarUDF::new_from_impl(JsonFunction { operation, signature, aliases }))
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.operation.names()[0]
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if !self.operation.takes(given.len()) {
            return plan_err!("{} does not take {} arguments", self.name(), given.len());
        }
        let wanted = given.iter().enumerate().map(|(place, of)| match of {
            of if of.is_integer() && place > 0 => Ok(DataType::Int64),
            of if of.is_string() || of.is_null() => Ok(DataType::Utf8View),
            DataType::Dictionary(_, of) if of.is_string() => Ok(DataType::Utf8View),
            of if place == 0 => plan_err!("{} takes JSON as text, and is given {of}", self.name()),
            of => plan_err!("{} takes keys and places, and is given {of}", self.name()),
        });
        wanted.collect()
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.operation {
            Operation::Part | Operation::Text | Operation::Kind => DataType::Utf8View,
            Operation::Has => DataType::Boolean,
            Operation::Length => DataType::Int64,
            Operation::Elements | Operation::Keys => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
            }
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let Some((json, steps)) = arguments.args.split_first() else {
            return exec_err!("{} takes arguments", self.name());
        };
        let json = json.to_array(rows)?;
        let Some(json) = json.as_string_view_opt() else {
            return exec_err!("{} takes JSON as text", self.name());
        };
        let paths = Paths::of(steps)?;
        let given = |row: usize| json.is_valid(row).then(|| json.value(row));
        let array: ArrayRef = match self.operation {
            Operation::Part => texts(json.len(), |row| {
                paths.with_path(row, |path| find(given(row)?, path).map(Cow::Borrowed))
            }),
            Operation::Text => texts(json.len(), |row| {
                paths.with_path(row, |path| find(given(row)?, path).and_then(text_of))
            }),
            Operation::Kind => texts(json.len(), |row| given(row).and_then(kind_of).map(Cow::Borrowed)),
            Operation::Has => {
                let has = |row| paths.with_path(row, |path| Some(has(given(row)?, path.first()?)));
                Arc::new((0..json.len()).map(has).collect::<BooleanArray>())
            }
            Operation::Length => {
                let length = |row| given(row).and_then(elements).map(|all| all.len() as i64);
                Arc::new((0..json.len()).map(length).collect::<Int64Array>())
            }
            Operation::Elements => lists(json.len(), |row| {
                let all = given(row).and_then(elements)?;
                Some(all.into_iter().map(|one| text_of(one.get())).collect())
            }),
            Operation::Keys => lists(json.len(), |row| {
                let all = given(row).and_then(keys)?;
                Some(all.into_iter().map(|key| Some(Cow::Owned(key))).collect())
            }),
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn texts<'j>(rows: usize, of: impl Fn(usize) -> Option<Cow<'j, str>>) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows);
    (0..rows).for_each(|row| builder.append_option(of(row)));
    Arc::new(builder.finish())
}

fn lists<'j>(rows: usize, of: impl Fn(usize) -> Option<Vec<Option<Cow<'j, str>>>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..rows {
        builder.append_option(of(row));
    }
    Arc::new(builder.finish())
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A member of an object; in a list, the element at the index that the text spells.
    Key(String),
    /// An element of a list; counted from the end if negative.
    Index(i64),
}

impl Step {
    fn index(&self) -> Option<i64> {
        match self {
            Self::Key(key) => key.parse().ok(),
            Self::Index(index) => Some(*index),
        }
    }
}

/// The paths of all rows.
enum Paths {
    /// The same path for all rows; none if one of its steps is null.
    Fixed(Option<Vec<Step>>),
    /// A path for each row.
    Each(Vec<ArrayRef>),
}

impl Paths {
    fn of(steps: &[ColumnarValue]) -> Result<Self> {
        let fixed: Option<Vec<&ScalarValue>> = steps
            .iter()
            .map(|step| match step {
                ColumnarValue::Scalar(value) => Some(value),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        match fixed {
            Some(values) => Ok(Self::Fixed(values.into_iter().map(fixed_step).collect())),
            None => ColumnarValue::values_to_arrays(steps).map(Self::Each),
        }
    }

    fn with_path<T>(&self, row: usize, then: impl FnOnce(&[Step]) -> Option<T>) -> Option<T> {
        match self {
            Self::Fixed(path) => then(path.as_deref()?),
            Self::Each(steps) => {
                let path: Option<Vec<Step>> = steps.iter().map(|step| step_at(step, row)).collect();
                then(&path?)
            }
        }
    }
}

fn fixed_step(value: &ScalarValue) -> Option<Step> {
    match value {
        ScalarValue::Int64(place) => place.map(Step::Index),
        value => value.try_as_str().flatten().map(|key| Step::Key(key.to_owned())),
    }
}

fn step_at(steps: &ArrayRef, row: usize) -> Option<Step> {
    if steps.is_null(row) {
        return None;
    }
    let places = steps.as_primitive_opt::<Int64Type>().map(|places| Step::Index(places.value(row)));
    places.or_else(|| {
        let keys: Option<&StringViewArray> = steps.as_string_view_opt();
        keys.map(|keys| Step::Key(keys.value(row).to_owned()))
    })
}

/// The value at `path`.
fn find<'j>(json: &'j str, path: &[Step]) -> Option<&'j str> {
    path.iter().try_fold(json, |at, step| read(at, StepSeed(step)).flatten().map(RawValue::get))
}

/// A string without its quotes, any other value as it is written; none for null.
fn text_of(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'n' => None,
        b'"' if !json.contains('\\') => json.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed),
        b'"' => serde_json::from_str(json).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(json)),
    }
}

fn kind_of(json: &str) -> Option<&'static str> {
    let begin = json.trim_start().as_bytes().first()?;
    Some(match begin {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "boolean",
        b'n' => "null",
        b'-' | b'0'..=b'9' => "number",
        _ => return None,
    })
}

fn has(json: &str, step: &Step) -> bool {
    let Step::Key(wanted) = step else { return false };
    let is_wanted =
        |one: &&RawValue| one.get().starts_with('"') && text_of(one.get()).as_deref() == Some(wanted);
    match kind_of(json) {
        Some("object") => read(json, StepSeed(step)).flatten().is_some(),
        Some("array") => elements(json).is_some_and(|all| all.iter().any(is_wanted)),
        Some("string") => text_of(json.trim()).as_deref() == Some(wanted),
        _ => false,
    }
}

fn elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

fn keys(json: &str) -> Option<Vec<String>> {
    read(json, KeysSeed)
}

fn read<'j, S: DeserializeSeed<'j>>(json: &'j str, seed: S) -> Option<S::Value> {
    seed.deserialize(&mut serde_json::Deserializer::from_str(json)).ok()
}

/// Deserializes the value that a step leads to.
struct StepSeed<'s>(&'s Step);

impl<'j> DeserializeSeed<'j> for StepSeed<'_> {
    type Value = Option<&'j RawValue>;

    fn deserialize<D: Deserializer<'j>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'j> Visitor<'j> for StepSeed<'_> {
    type Value = Option<&'j RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = members.next_key_seed(KeyMatches(self.0))? {
            if is_wanted {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let Some(place) = self.0.index() else { return Err(A::Error::custom("a list has no keys")) };
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            all.push(element);
        }
        let place = if place < 0 { place + all.len() as i64 } else { place };
        Ok(usize::try_from(place).ok().and_then(|place| all.get(place).copied()))
    }
}

/// Deserializes a key; returns whether it is the step's.
struct KeyMatches<'s>(&'s Step);

impl<'j> DeserializeSeed<'j> for KeyMatches<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'j>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyMatches<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(matches!(self.0, Step::Key(wanted) if wanted == key))
    }
}

/// Deserializes an object's keys.
struct KeysSeed;

impl<'j> DeserializeSeed<'j> for KeysSeed {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'j>>(self, json: D) -> Result<Vec<String>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'j> Visitor<'j> for KeysSeed {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut members: A) -> Result<Vec<String>, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = members.next_entry()? {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Postgres' operators.
#[derive(Debug)]
struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (operation, path) = match raw.op {
            BinaryOperator::Arrow => (Operation::Part, vec![raw.right.clone()]),
            BinaryOperator::LongArrow => (Operation::Text, vec![raw.right.clone()]),
            BinaryOperator::HashArrow => (Operation::Part, steps(&raw.right)?),
            BinaryOperator::HashLongArrow => (Operation::Text, steps(&raw.right)?),
            BinaryOperator::Question => (Operation::Has, vec![raw.right.clone()]),
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let name = format!("{} {} {}", operand_name(&raw.left), raw.op, operand_name(&raw.right));
        let mut arguments = match raw.left.clone().unalias() {
            // Chained steps become one path in one call.
            Expr::ScalarFunction(inner)
                if operation != Operation::Has && inner.func.name() == Operation::Part.names()[0] =>
            {
                inner.args
            }
            _ => vec![raw.left],
        };
        arguments.extend(path);
        let call = ScalarFunction::new_udf(function(operation), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call).alias(name)))
    }
}

/// The steps of a path that is written as `'{a,b}'` or `array['a', 'b']`.
fn steps(path: &Expr) -> Result<Vec<Expr>> {
    match path {
        Expr::ScalarFunction(list) if list.func.name() == "make_array" => Ok(list.args.clone()),
        Expr::Literal(value, _) => {
            let written = value.try_as_str().flatten().and_then(|text| {
                let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
                (!inner.contains(['"', '\\', '{'])).then_some(inner)
            });
            let Some(written) = written else { return plan_err!("a path is '{{a,b}}' or array['a', 'b']") };
            Ok(written.split(',').filter(|step| !step.is_empty()).map(|step| lit(step.trim())).collect())
        }
        _ => plan_err!("a path is '{{a,b}}' or array['a', 'b']"),
    }
}

/// The name of an operand in the name of the output column.
fn operand_name(part: &Expr) -> String {
    match part {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Literal(value, _) => match value.try_as_str().flatten() {
            Some(text) => format!("'{text}'"),
            None => value.to_string(),
        },
        _ => part.schema_name().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: &[&str]) -> Vec<Step> {
        steps.iter().map(|&step| Step::Key(step.to_owned())).collect()
    }

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        let json = r#"{"a":{"b":[1,{"c":"x\ny"},null]},"a.b":true,"é":"\u00e9","n":-1.5e3}"#;
        assert_eq!(find(json, &path(&["a", "b", "0"])), Some("1"));
        assert_eq!(find(json, &[path(&["a", "b"]), vec![Step::Index(-2)]].concat()), Some(r#"{"c":"x\ny"}"#));
        let text = |steps: &[&str]| find(json, &path(steps)).and_then(text_of).map(Cow::into_owned);
        assert_eq!(text(&["a", "b", "1", "c"]).as_deref(), Some("x\ny"));
        assert_eq!((text(&["é"]).as_deref(), text(&["n"]).as_deref()), (Some("é"), Some("-1.5e3")));
        assert_eq!(find(json, &path(&["a", "b", "2"])), Some("null"));
        for steps in [&["a", "b", "2"][..], &["a", "x"], &["a", "b", "9"], &["a.b", "c"], &["a", "b", "c"]] {
            assert_eq!(text(steps), None, "{steps:?}");
        }
    }

    #[test]
    fn what_is_no_json_is_nothing_and_never_an_error() {
        for json in ["", "{", "nonsense", r#"{"a":}"#, r#"{"a"#, "[1,"] {
            assert_eq!(find(json, &path(&["a"])), None, "{json}");
            assert!(!has(json, &Step::Key("a".to_owned())), "{json}");
            assert_eq!((elements(json).is_some(), keys(json)), (false, None), "{json}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(find(&deep, &[Step::Index(0)]), None);
        let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(find(&closed, &[Step::Index(0)]).is_none_or(|inner| inner.len() == closed.len() - 2));
    }

    #[test]
    fn a_member_or_an_element_is_there_or_not() {
        let has = |json: &str, key: &str| has(json, &Step::Key(key.to_owned()));
        assert!(has(r#"{"a":null}"#, "a") && !has(r#"{"a":{"b":1}}"#, "b"));
        assert!(has(r#"["tag:prod","tag:\u0061"]"#, "tag:a") && !has("[1,2]", "1") && !has(r#"["ab"]"#, "a"));
        assert!(has(r#""a""#, "a") && !has("7", "7"));
    }
}
