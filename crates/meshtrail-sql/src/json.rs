//! JSON in SQL: `detail`, lists and objects are text, and taken apart here as Postgres does.
//!
//! - `->` and `#>` give JSON, `->>` and `#>>` text; `?` asks for a member, or an element of a list. A step that a value
//!   has not is null, and so is whatever is no JSON: a row never ends a query.
//! - Only what a path leads through is read; nothing is built of the rest.
//! - Functions have the names that Postgres gives them, where it has such.

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

/// Gives `registry` the functions, and the operators that stand for them.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for gives in Gives::ALL {
        registry.register_udf(function(gives))?;
    }
    registry.register_expr_planner(Arc::new(Operators))
}

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gives {
    /// What stands at the end of a path, as JSON.
    Part,
    /// The same, as text.
    Text,
    /// Whether an object has a member, or a list an element.
    Has,
    /// How many elements a list has.
    Length,
    /// What kind of value it is.
    Kind,
    /// A list's elements, as text each.
    Elements,
    /// An object's keys.
    Keys,
}

impl Gives {
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
struct OfJson {
    gives: Gives,
    signature: Signature,
    aliases: [String; 1],
}

fn function(gives: Gives) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let aliases = [gives.names()[1].to_owned()];
    Arc::new(ScalarUDF::new_from_impl(OfJson { gives, signature, aliases }))
}

impl ScalarUDFImpl for OfJson {
    fn name(&self) -> &str {
        self.gives.names()[0]
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if !self.gives.takes(given.len()) {
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
        Ok(match self.gives {
            Gives::Part | Gives::Text | Gives::Kind => DataType::Utf8View,
            Gives::Has => DataType::Boolean,
            Gives::Length => DataType::Int64,
            Gives::Elements | Gives::Keys => {
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
        let array: ArrayRef = match self.gives {
            Gives::Part => {
                texts(json.len(), |row| paths.with(row, |path| find(given(row)?, path).map(Cow::Borrowed)))
            }
            Gives::Text => {
                texts(json.len(), |row| paths.with(row, |path| find(given(row)?, path).and_then(text_of)))
            }
            Gives::Kind => texts(json.len(), |row| given(row).and_then(kind_of).map(Cow::Borrowed)),
            Gives::Has => {
                let has = |row| paths.with(row, |path| Some(has(given(row)?, path.first()?)));
                Arc::new((0..json.len()).map(has).collect::<BooleanArray>())
            }
            Gives::Length => {
                let length = |row| given(row).and_then(elements).map(|all| all.len() as i64);
                Arc::new((0..json.len()).map(length).collect::<Int64Array>())
            }
            Gives::Elements => lists(json.len(), |row| {
                let all = given(row).and_then(elements)?;
                Some(all.into_iter().map(|one| text_of(one.get())).collect())
            }),
            Gives::Keys => lists(json.len(), |row| {
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

/// A step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// To a member; of a list, to the element at the place that the text spells.
    Key(String),
    /// To an element; from the end if negative.
    Place(i64),
}

impl Step {
    fn place(&self) -> Option<i64> {
        match self {
            Self::Key(key) => key.parse().ok(),
            Self::Place(place) => Some(*place),
        }
    }
}

/// The path of each row.
enum Paths {
    /// The same for all; none if a step of it is null.
    Fixed(Option<Vec<Step>>),
    /// Each row's own.
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

    fn with<T>(&self, row: usize, then: impl FnOnce(&[Step]) -> Option<T>) -> Option<T> {
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
        ScalarValue::Int64(place) => place.map(Step::Place),
        value => value.try_as_str().flatten().map(|key| Step::Key(key.to_owned())),
    }
}

fn step_at(steps: &ArrayRef, row: usize) -> Option<Step> {
    if steps.is_null(row) {
        return None;
    }
    let places = steps.as_primitive_opt::<Int64Type>().map(|places| Step::Place(places.value(row)));
    places.or_else(|| {
        let keys: Option<&StringViewArray> = steps.as_string_view_opt();
        keys.map(|keys| Step::Key(keys.value(row).to_owned()))
    })
}

/// What stands at the end of `path`.
fn find<'j>(json: &'j str, path: &[Step]) -> Option<&'j str> {
    path.iter().try_fold(json, |at, step| read(at, Under(step)).flatten().map(RawValue::get))
}

/// A string without its quotes, anything else as it is written; nothing for null.
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
        Some("object") => read(json, Under(step)).flatten().is_some(),
        Some("array") => elements(json).is_some_and(|all| all.iter().any(is_wanted)),
        Some("string") => text_of(json.trim()).as_deref() == Some(wanted),
        _ => false,
    }
}

fn elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

fn keys(json: &str) -> Option<Vec<String>> {
    read(json, Members)
}

fn read<'j, S: DeserializeSeed<'j>>(json: &'j str, seed: S) -> Option<S::Value> {
    seed.deserialize(&mut serde_json::Deserializer::from_str(json)).ok()
}

/// Reads the part that a step leads to.
struct Under<'s>(&'s Step);

impl<'j> DeserializeSeed<'j> for Under<'_> {
    type Value = Option<&'j RawValue>;

    fn deserialize<D: Deserializer<'j>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'j> Visitor<'j> for Under<'_> {
    type Value = Option<&'j RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = members.next_key_seed(Is(self.0))? {
            if is_wanted {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let Some(place) = self.0.place() else { return Err(A::Error::custom("a list has no keys")) };
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            all.push(element);
        }
        let place = if place < 0 { place + all.len() as i64 } else { place };
        Ok(usize::try_from(place).ok().and_then(|place| all.get(place).copied()))
    }
}

/// Whether a key is the one that a step names.
struct Is<'s>(&'s Step);

impl<'j> DeserializeSeed<'j> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'j>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(matches!(self.0, Step::Key(wanted) if wanted == key))
    }
}

/// Reads an object's keys.
struct Members;

impl<'j> DeserializeSeed<'j> for Members {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'j>>(self, json: D) -> Result<Vec<String>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'j> Visitor<'j> for Members {
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
        let (gives, path) = match raw.op {
            BinaryOperator::Arrow => (Gives::Part, vec![raw.right.clone()]),
            BinaryOperator::LongArrow => (Gives::Text, vec![raw.right.clone()]),
            BinaryOperator::HashArrow => (Gives::Part, steps(&raw.right)?),
            BinaryOperator::HashLongArrow => (Gives::Text, steps(&raw.right)?),
            BinaryOperator::Question => (Gives::Has, vec![raw.right.clone()]),
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let name = format!("{} {} {}", spoken(&raw.left), raw.op, spoken(&raw.right));
        let mut arguments = match raw.left.clone().unalias() {
            // A path of several steps is walked at once.
            Expr::ScalarFunction(inner)
                if gives != Gives::Has && inner.func.name() == Gives::Part.names()[0] =>
            {
                inner.args
            }
            _ => vec![raw.left],
        };
        arguments.extend(path);
        let call = ScalarFunction::new_udf(function(gives), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call).alias(name)))
    }
}

/// The steps of a path: `'{a,b}'` or `array['a', 'b']`.
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

/// How a part of an operator is called in the name of a column.
fn spoken(part: &Expr) -> String {
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
        assert_eq!(find(json, &[path(&["a", "b"]), vec![Step::Place(-2)]].concat()), Some(r#"{"c":"x\ny"}"#));
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
        assert_eq!(find(&deep, &[Step::Place(0)]), None);
        let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(find(&closed, &[Step::Place(0)]).is_none_or(|inner| inner.len() == closed.len() - 2));
    }

    #[test]
    fn a_member_or_an_element_is_there_or_not() {
        let has = |json: &str, key: &str| has(json, &Step::Key(key.to_owned()));
        assert!(has(r#"{"a":null}"#, "a") && !has(r#"{"a":{"b":1}}"#, "b"));
        assert!(has(r#"["tag:prod","tag:\u0061"]"#, "tag:a") && !has("[1,2]", "1") && !has(r#"["ab"]"#, "a"));
        assert!(has(r#""a""#, "a") && !has("7", "7"));
    }
}
