//! OpenAPI schemas of the event model's types, which know JSON Schema: each stands for the type of its name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Declares types that have a schema and no value.
macro_rules! event_types {
    ($($name:ident),+ $(,)?) => {$(
        #[doc = concat!("[`meshtrail_event::", stringify!($name), "`].")]
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            fn components() -> &'static Components {
                static COMPONENTS: LazyLock<Components> = LazyLock::new(components::<meshtrail_event::$name>);
                &COMPONENTS
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let own = Self::components().get(stringify!($name));
                own.expect("a type's own schema is among its components").clone()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                schemas.extend(Self::components().clone());
            }
        }
    )+};
}

event_types!(Actor, Device, DeviceState, Event, Identity, Person, Target, UserState);

/// A type's schema and those that it refers to, by name.
type Components = BTreeMap<String, RefOr<Schema>>;

fn components<T: JsonSchema>() -> Components {
    definitions::<T>().into_iter().map(|(name, schema)| (name, component(schema))).collect()
}

fn definitions<T: JsonSchema>() -> serde_json::Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let _reference = generator.subschema_for::<T>();
    generator.take_definitions(true)
}

fn component(mut schema: Value) -> RefOr<Schema> {
    name_any_type(&mut schema);
    serde_json::from_value(schema).expect("OpenAPI has the words that the schema of an event is made of")
}

/// Gives a schema that allows every type the form that `utoipa` reads: `type` is null.
fn name_any_type(schema: &mut Value) {
    const TYPES: [&str; 3] = ["type", "$ref", "anyOf"];
    let Value::Object(members) = schema else { return };
    if !TYPES.iter().any(|name| members.contains_key(*name)) {
        members.insert("type".to_owned(), Value::Null);
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(name_any_type);
    }
    if let Some(items) = members.get_mut("items") {
        name_any_type(items);
    }
    if let Some(Value::Array(variants)) = members.get_mut("anyOf") {
        variants.iter_mut().for_each(name_any_type);
    }
}

/// The schema of a text that is one of `words`.
pub(crate) fn words(about: &str, words: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(about))
        .enum_values(Some(words.iter().copied()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_json_schema_is_lost_on_the_way_to_openapi() {
        for (name, schema) in definitions::<meshtrail_event::Event>() {
            let component = serde_json::to_value(component(schema.clone())).unwrap();
            assert_eq!(component, schema, "{name}");
        }
    }
}
