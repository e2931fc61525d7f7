//! Objects of Kubernetes in protobuf, as the JSON that says the same.
//!
//! kubectl 1.32 and newer send secrets, config maps, service accounts and tokens in protobuf, with a Secret's values as plain
//! bytes. Read is what [`tables`] knows: a field that is not there, or is not of its type, is not kept, and a kind that is
//! not there leaves nothing but its name.
//!
//! Source of the format: `k8s\0`, then a message `runtime.Unknown` with the type (1), the object's bytes (2), their encoding
//! (3) and their content type (4): "Alternate representations of resources" in Kubernetes' documentation.

mod tables;

use meshtrail_event::Timestamp;
use serde_json::{Map, Value, json};

use super::NotKept;
use super::limits::{MAX_DEPTH, MAX_NODES};
use crate::values::encode_base64;

/// How each object begins.
const MAGIC: &[u8] = b"k8s\0";

/// A message's fields.
struct Message {
    fields: &'static [Field],
}

struct Field {
    number: u32,
    name: &'static str,
    of: Type,
}

/// How a field is written, and shown in JSON.
#[derive(Clone, Copy)]
enum Type {
    String,
    Bytes,
    Bool,
    Int,
    /// Seconds and nanoseconds, shown as a time.
    Time,
    /// A message with the text alone.
    Quantity,
    /// A message with the number of the type, a number and a text.
    IntOrString,
    /// A message with a list of texts alone.
    Values,
    Message(&'static Message),
    /// A message whose fields stand in the one around it.
    Inline(&'static Message),
    /// A field that is repeated.
    List(&'static Type),
    /// Entries of a name (1) and a value (2).
    Map(&'static Type),
}

/// The object in these bytes as JSON, with the number of fields that are not kept.
pub(super) fn decode(bytes: &[u8]) -> Result<(Value, u64), NotKept> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(NotKept::Unreadable { format: "protobuf" })?;
    let mut reader = Reader { nodes: 0, unknown: 0 };
    let unreadable = |_| NotKept::Unreadable { format: "protobuf" };
    let envelope = reader.envelope(envelope).map_err(unreadable)?;
    let Some(message) = tables::of_kind(&envelope.api_version, &envelope.kind) else {
        let (api_version, kind) = (envelope.api_version, envelope.kind);
        return Err(NotKept::Kind { api_version: shortened(&api_version), kind: shortened(&kind) });
    };
    // An object within may be JSON or compressed: nobody sends that.
    if !matches!(envelope.content_type.as_str(), "" | "application/vnd.kubernetes.protobuf")
        || !envelope.encoding.is_empty()
    {
        return Err(NotKept::Format { content_type: shortened(&envelope.content_type) });
    }
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!(envelope.api_version));
    object.insert("kind".to_owned(), json!(envelope.kind));
    match reader.message(envelope.raw, message, 0, &mut object) {
        Ok(()) => Ok((Value::Object(object), reader.unknown)),
        Err(Broken::TooMuch) => Err(NotKept::TooMuch),
        Err(Broken::Form) => Err(NotKept::Unreadable { format: "protobuf" }),
    }
}

/// A name from the sender, short enough for an error.
fn shortened(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(128).collect()
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Form,
    TooMuch,
}

#[derive(Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
    encoding: String,
    content_type: String,
}

/// A field's value as it is on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits: no field that is understood has them.
    Fixed,
}

struct Reader {
    nodes: usize,
    unknown: u64,
}

impl Reader {
    fn envelope<'a>(&mut self, bytes: &'a [u8]) -> Result<Envelope<'a>, Broken> {
        let mut envelope = Envelope::default();
        for field in (Fields { rest: bytes }) {
            match field? {
                (1, Wire::Bytes(of_type)) => {
                    for field in (Fields { rest: of_type }) {
                        match field? {
                            (1, Wire::Bytes(text)) => envelope.api_version = utf8(text)?,
                            (2, Wire::Bytes(text)) => envelope.kind = utf8(text)?,
                            _ => {}
                        }
                    }
                }
                (2, Wire::Bytes(raw)) => envelope.raw = raw,
                (3, Wire::Bytes(text)) => envelope.encoding = utf8(text)?,
                (4, Wire::Bytes(text)) => envelope.content_type = utf8(text)?,
                _ => self.unknown += 1,
            }
        }
        Ok(envelope)
    }

    fn message(
        &mut self,
        bytes: &[u8],
        message: &Message,
        depth: usize,
        into: &mut Map<String, Value>,
    ) -> Result<(), Broken> {
        if depth > MAX_DEPTH {
            return Err(Broken::TooMuch);
        }
        for field in (Fields { rest: bytes }) {
            let (number, wire) = field?;
            self.count()?;
            match message.fields.iter().find(|field| field.number == number) {
                Some(field) => self.field(field, wire, depth, into)?,
                None => self.unknown += 1,
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        depth: usize,
        into: &mut Map<String, Value>,
    ) -> Result<(), Broken> {
        match (field.of, wire) {
            (Type::Inline(message), Wire::Bytes(bytes)) => {
                return self.message(bytes, message, depth + 1, into);
            }
            (Type::List(of), _) => {
                let Some(value) = self.value(*of, wire, depth)? else { return Ok(()) };
                let list = into.entry(field.name).or_insert_with(|| json!([]));
                list.as_array_mut().ok_or(Broken::Form)?.push(value);
            }
            (Type::Map(of), Wire::Bytes(entry)) => {
                let Some((name, value)) = self.entry(entry, *of, depth)? else { return Ok(()) };
                let map = into.entry(field.name).or_insert_with(|| json!({}));
                map.as_object_mut().ok_or(Broken::Form)?.insert(name, value);
            }
            (of, _) => match self.value(of, wire, depth)? {
                // Go writes texts and messages that are empty as well.
                Some(Value::String(text)) if text.is_empty() => {}
                Some(Value::Object(members)) if members.is_empty() => {}
                Some(value) => drop(into.insert(field.name.to_owned(), value)),
                None => {}
            },
        }
        Ok(())
    }

    fn entry(&mut self, bytes: &[u8], of: Type, depth: usize) -> Result<Option<(String, Value)>, Broken> {
        let (mut name, mut value) = (String::new(), json!(""));
        for field in (Fields { rest: bytes }) {
            match field? {
                (1, Wire::Bytes(text)) => name = utf8(text)?,
                (2, wire) => match self.value(of, wire, depth)? {
                    Some(found) => value = found,
                    None => return Ok(None),
                },
                _ => self.unknown += 1,
            }
        }
        Ok(Some((name, value)))
    }

    /// A single value; `None` if it is not of its type.
    fn value(&mut self, of: Type, wire: Wire<'_>, depth: usize) -> Result<Option<Value>, Broken> {
        self.count()?;
        Ok(match (of, wire) {
            (Type::String, Wire::Bytes(bytes)) => Some(Value::String(utf8(bytes)?)),
            (Type::Bytes, Wire::Bytes(bytes)) => Some(Value::String(encode_base64(bytes))),
            (Type::Bool, Wire::Number(number)) => Some(Value::Bool(number != 0)),
            (Type::Int, Wire::Number(number)) => Some(json!(number.cast_signed())),
            (Type::Quantity, Wire::Bytes(bytes)) => self.text_of(bytes)?,
            (Type::Time, Wire::Bytes(bytes)) => time(bytes)?,
            (Type::IntOrString, Wire::Bytes(bytes)) => self.int_or_string(bytes)?,
            (Type::Values, Wire::Bytes(bytes)) => Some(self.texts_of(bytes)?),
            (Type::Message(message), Wire::Bytes(bytes)) => {
                let mut members = Map::new();
                self.message(bytes, message, depth + 1, &mut members)?;
                Some(Value::Object(members))
            }
            _ => {
                self.unknown += 1;
                None
            }
        })
    }

    fn text_of(&mut self, bytes: &[u8]) -> Result<Option<Value>, Broken> {
        let mut text = None;
        for field in (Fields { rest: bytes }) {
            match field? {
                (1, Wire::Bytes(bytes)) => text = Some(Value::String(utf8(bytes)?)),
                _ => self.unknown += 1,
            }
        }
        Ok(text)
    }

    fn texts_of(&mut self, bytes: &[u8]) -> Result<Value, Broken> {
        let mut texts = Vec::new();
        for field in (Fields { rest: bytes }) {
            self.count()?;
            match field? {
                (1, Wire::Bytes(bytes)) => texts.push(Value::String(utf8(bytes)?)),
                _ => self.unknown += 1,
            }
        }
        Ok(Value::Array(texts))
    }

    fn int_or_string(&mut self, bytes: &[u8]) -> Result<Option<Value>, Broken> {
        let (mut is_text, mut number, mut text) = (false, 0, String::new());
        for field in (Fields { rest: bytes }) {
            match field? {
                (1, Wire::Number(of)) => is_text = of == 1,
                (2, Wire::Number(found)) => number = found.cast_signed(),
                (3, Wire::Bytes(bytes)) => text = utf8(bytes)?,
                _ => self.unknown += 1,
            }
        }
        Ok(Some(if is_text { json!(text) } else { json!(number) }))
    }

    fn count(&mut self) -> Result<(), Broken> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(Broken::TooMuch) } else { Ok(()) }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Broken> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Broken::Form)
}

/// Seconds (1) since 1970; a time that was not set has no fields.
fn time(bytes: &[u8]) -> Result<Option<Value>, Broken> {
    let mut seconds = None;
    for field in (Fields { rest: bytes }) {
        if let (1, Wire::Number(number)) = field? {
            seconds = Some(number.cast_signed());
        }
    }
    Ok(seconds.and_then(Timestamp::from_seconds).map(|time| json!(time)))
}

/// The fields of a message, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u32, Wire<'a>), Broken> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Broken::Form)?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken::Form)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            // Groups were never used by Kubernetes.
            _ => return Err(Broken::Form),
        };
        if number == 0 { Err(Broken::Form) } else { Ok((number, wire)) }
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0u64;
        for at in 0..10 {
            let byte = *self.take(1)?.first().ok_or(Broken::Form)?;
            value |= u64::from(byte & 0x7F) << (7 * at).min(63);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken::Form)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken::Form)?;
        self.rest = rest;
        Ok(taken)
    }
}
