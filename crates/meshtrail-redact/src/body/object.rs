//! The rules by which secrets are cut from objects.
//!
//! - Of a Secret, what may stay is a list: type and identity. Everything else is a fingerprint, keys stay.
//! - Values of a ConfigMap are fingerprints: many hold settings with passwords in them, and Helm's releases.
//! - In any other object, cut are values under a name of a secret, values beside such a name (`name` and `value` of an
//!   environment variable or a parameter), secrets in arguments, and secrets within texts. An object of kind Secret or ConfigMap
//!   is one at any depth, and so is what a text holds.
//! - managedFields are left out.

use serde_json::{Map, Value};

use super::limits::{MAX_CUTS, MAX_NODES, MAX_PATH};
use super::{BodyContext, NotKept};
use crate::argv;
use crate::fingerprint::Fingerprint;
use crate::names::{Secrecy, classify, is_count};
use crate::redactor::{Cut, Redactor};
use crate::values::{decode_base64_strict, is_harmless, is_random, user_and_password};

/// Members of a Secret that stay.
const SECRET_MEMBERS: &[&str] = &["apiVersion", "kind", "type", "immutable"];

/// Members of a Secret's metadata that stay, besides the keys of its annotations.
const SECRET_METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "labels",
    "ownerReferences",
    "finalizers",
];

/// Members of DeleteOptions.
const DELETE_OPTIONS: &[&str] = &[
    "apiVersion",
    "kind",
    "gracePeriodSeconds",
    "preconditions",
    "orphanDependents",
    "propagationPolicy",
    "dryRun",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
];

/// Directives of a strategic merge patch, and what they may say.
const DIRECTIVES: &[&str] = &["replace", "merge", "delete"];

/// Members that name what stands in a member beside them.
const NAME_MEMBERS: &[&str] = &[
    "name",
    "key",
    "Name",
    "Key",
    "header",
    "field",
    "variable",
    "param",
    "parameter",
    "property",
    "option",
];

/// Members whose value has its name beside it.
const VALUE_MEMBERS: &[&str] = &[
    "value",
    "values",
    "Value",
    "default",
    "defaultValue",
    "content",
    "data",
    "literal",
    "stringValue",
    "text",
    "plain",
    "plaintext",
    "raw",
];

/// What an object is by its place, where its own `kind` does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    Secret,
    ConfigMap,
    None,
}

impl Hint {
    /// What a request to this resource has in its body.
    pub(super) fn of(context: &BodyContext<'_>) -> Self {
        match (context.api_group, context.resource) {
            ("", "secrets") => Self::Secret,
            ("", "configmaps") => Self::ConfigMap,
            _ => Self::None,
        }
    }

    fn of_kind(kind: &str) -> Self {
        match kind.to_ascii_lowercase().as_str() {
            "secret" => Self::Secret,
            "configmap" => Self::ConfigMap,
            _ => Self::None,
        }
    }
}

/// One walk over a body, and what it has cut so far.
pub(super) struct Walk<'a> {
    pub(super) redactor: &'a Redactor,
    cuts: Vec<Cut>,
    /// Where the walk is: a JSON pointer, keys without what looks like a secret.
    path: String,
    nodes: usize,
    /// How many texts are around what is read.
    pub(super) embedded: usize,
    /// Bytes of compressed texts so far.
    pub(super) unpacked: usize,
}

/// The result of a step: a body beyond its limits is not kept.
pub(super) type Step<T = Value> = Result<T, NotKept>;

impl<'a> Walk<'a> {
    pub(super) fn new(redactor: &'a Redactor) -> Self {
        Self { redactor, cuts: Vec::new(), path: String::new(), nodes: 0, embedded: 0, unpacked: 0 }
    }

    pub(super) fn into_cuts(self) -> Vec<Cut> {
        self.cuts
    }

    pub(super) fn cut_count(&self) -> usize {
        self.cuts.len()
    }

    /// A whole body.
    pub(super) fn top(&mut self, value: Value, hint: Hint) -> Step {
        match (value, hint) {
            (Value::Object(members), _) => self.object(members, hint),
            (Value::Array(items), _) => self.each_item(items, |walk, item| walk.top(item, hint)),
            (value, Hint::None) => self.any(value),
            (value, _) => self.cut_all(value),
        }
    }

    fn object(&mut self, members: Map<String, Value>, hint: Hint) -> Step {
        self.count()?;
        let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default();
        // What deletes an object has options for a body.
        if kind == "DeleteOptions" {
            return self.each_member(members, Self::delete_option);
        }
        let of_kind = if is_reference(&members) { Hint::None } else { Hint::of_kind(kind) };
        let hint = match (of_kind, hint) {
            (Hint::None, _) | (_, Hint::Secret) => hint,
            _ => of_kind,
        };
        let items = match kind {
            "SecretList" => Some(Hint::Secret),
            "ConfigMapList" => Some(Hint::ConfigMap),
            _ if kind.ends_with("List") => Some(hint),
            _ => None,
        };
        if let Some(hint) = items.filter(|_| members.get("items").is_some_and(Value::is_array)) {
            return self.each_member(members, |walk, name, value| match (name, value) {
                ("items", Value::Array(items)) => walk.each_item(items, |walk, item| walk.top(item, hint)),
                ("apiVersion" | "kind" | "metadata", value) => walk.member(name, value, false),
                // A list has nothing else.
                (_, value) if hint != Hint::None => walk.cut_all(value),
                (_, value) => walk.member(name, value, false),
            });
        }
        match hint {
            Hint::Secret => self.each_member(members, Self::secret_member),
            Hint::ConfigMap => self.each_member(members, Self::config_member),
            Hint::None => self.plain_object(members, false),
        }
    }

    fn secret_member(&mut self, name: &str, value: Value) -> Step {
        match (name, value) {
            ("data", Value::Object(values)) => {
                self.each_member(values, |walk, _, value| walk.cut_encoded(value))
            }
            ("metadata", Value::Object(members)) => self.each_member(members, Self::secret_metadata),
            ("$patch", Value::String(text)) if DIRECTIVES.contains(&text.as_str()) => Ok(Value::String(text)),
            (name, Value::String(text)) if SECRET_MEMBERS.contains(&name) => self.text(text),
            (name, value @ (Value::Bool(_) | Value::Null)) if SECRET_MEMBERS.contains(&name) => Ok(value),
            (_, value) => self.cut_all(value),
        }
    }

    fn secret_metadata(&mut self, name: &str, value: Value) -> Step {
        match (name, value) {
            ("annotations", Value::Object(values)) => {
                self.each_member(values, |walk, _, value| walk.cut_annotation(value))
            }
            (name, value) if SECRET_METADATA.contains(&name) => self.any(value),
            (_, value) => self.cut_all(value),
        }
    }

    fn delete_option(&mut self, name: &str, value: Value) -> Step {
        if DELETE_OPTIONS.contains(&name) { self.any(value) } else { self.cut_all(value) }
    }

    fn config_member(&mut self, name: &str, value: Value) -> Step {
        match (name, value) {
            ("binaryData", Value::Object(values)) => {
                self.each_member(values, |walk, _, value| walk.cut_encoded(value))
            }
            ("data", value) | ("binaryData", value) => self.cut_all(value),
            (name, value) => self.member(name, value, false),
        }
    }

    /// An object whose kind has no rule of its own. `secret` says that it stands under a name of a secret.
    fn plain_object(&mut self, mut members: Map<String, Value>, secret: bool) -> Step {
        if members.get("op").is_some_and(Value::is_string)
            && members.get("path").and_then(Value::as_str).is_some_and(|path| path.starts_with('/'))
        {
            return self.operation(members, Hint::None);
        }
        // Whatever has `stringData` is a part of a Secret.
        let of_secret = members.get("stringData").is_some_and(Value::is_object);
        self.arguments(&mut members)?;
        let named = named_beside(&members);
        // An external secret's reference: its `secretKey` is a name.
        let of_reference = members.contains_key("remoteRef");
        self.each_member(members, |walk, name, value| match (name, value) {
            ("data" | "stringData", value) if of_secret => walk.secret_member(name, value),
            (name, value) if is_value_member(name) => match named.as_deref() {
                Some(named) => walk.named_value(named, value),
                None if secret => walk.cut_scalars(value),
                None => walk.member(name, value, false),
            },
            // Read as arguments already.
            ("command" | "args", Value::Array(items)) if items.iter().all(Value::is_string) => {
                Ok(Value::Array(items))
            }
            ("secretKey", value) if of_reference => walk.any(value),
            (name, value) => walk.member(name, value, secret),
        })
    }

    /// A member of any object: a secret by its name, or something to read further.
    fn member(&mut self, name: &str, value: Value, secret: bool) -> Step {
        let by_name = match classify(name) {
            Secrecy::Secret => true,
            Secrecy::Possible => {
                value.as_str().is_some_and(|text| is_random(text) || user_and_password(text).is_some())
            }
            Secrecy::None => false,
        };
        match value {
            Value::Object(members) if name == "metadata" => self.each_member(members, Self::metadata),
            Value::Object(members) if secret || by_name => self.secret_object(members),
            value if by_name => self.cut_named(name, value),
            value => self.any(value),
        }
    }

    /// Metadata of an object that is no Secret.
    fn metadata(&mut self, name: &str, value: Value) -> Step {
        self.member(name, value, false)
    }

    /// An object under a name of a secret. A reference to one has the names of objects in it, which stay.
    fn secret_object(&mut self, members: Map<String, Value>) -> Step {
        if members.contains_key("kind") {
            self.object(members, Hint::None)
        } else {
            self.plain_object(members, true)
        }
    }

    /// A value that has no name of its own, or one that says nothing.
    fn any(&mut self, value: Value) -> Step {
        self.count()?;
        match value {
            Value::Object(members) => self.object(members, Hint::None),
            Value::Array(items) => self.each_item(items, Self::any),
            Value::String(text) => self.text(text),
            other => Ok(other),
        }
    }

    /// The value of an environment variable, a parameter, a header: its name stands beside it.
    fn named_value(&mut self, name: &str, value: Value) -> Step {
        match (classify(name), value) {
            (Secrecy::Secret, value) => self.cut_named(name, value),
            (secrecy, Value::String(text)) => {
                let possible = secrecy == Secrecy::Possible && user_and_password(&text).is_some();
                if possible || is_random(&text) { self.cut_text(text) } else { self.text(text) }
            }
            (_, value) => self.any(value),
        }
    }

    /// Cuts what stands under a name of a secret: texts and numbers, in lists too. Objects are read further.
    fn cut_named(&mut self, name: &str, value: Value) -> Step {
        match value {
            Value::String(text) if is_harmless(&text) => self.text(text),
            Value::String(text) if is_count(name, &text) => Ok(Value::String(text)),
            Value::String(text) => self.cut_text(text),
            Value::Number(number) if is_count(name, &number.to_string()) => Ok(Value::Number(number)),
            Value::Number(number) => self.cut_bytes(number.to_string().as_bytes()),
            Value::Array(items) => self.each_item(items, |walk, item| walk.cut_named(name, item)),
            Value::Object(members) => self.secret_object(members),
            other => Ok(other),
        }
    }

    /// Cuts texts and numbers; objects are read further.
    fn cut_scalars(&mut self, value: Value) -> Step {
        self.cut_named("", value)
    }

    /// Cuts every text, number and truth value; keys stay.
    pub(super) fn cut_all(&mut self, value: Value) -> Step {
        self.count()?;
        match value {
            Value::Null => Ok(Value::Null),
            Value::Object(members) => self.each_member(members, |walk, _, value| walk.cut_all(value)),
            Value::Array(items) => self.each_item(items, Self::cut_all),
            Value::String(text) => self.cut_text(text),
            scalar => self.cut_bytes(scalar.to_string().as_bytes()),
        }
    }

    /// Cuts a value of `data`: what base64 stands for is fingerprinted. What is not base64 is fingerprinted as it is.
    pub(super) fn cut_encoded(&mut self, value: Value) -> Step {
        match value {
            Value::String(text) => match decode_base64_strict(&text) {
                Some(bytes) => self.cut_bytes(&bytes),
                None => self.cut_text(text),
            },
            value => self.cut_all(value),
        }
    }

    fn cut_text(&mut self, text: String) -> Step {
        self.cut_bytes(text.as_bytes())
    }

    pub(super) fn cut_bytes(&mut self, bytes: &[u8]) -> Step {
        let fingerprint = self.redactor.key().fingerprint(bytes);
        self.push_cut(fingerprint)?;
        Ok(Value::String(fingerprint.to_string()))
    }

    pub(super) fn push_cut(&mut self, fingerprint: Fingerprint) -> Step<()> {
        if self.cuts.len() >= MAX_CUTS {
            return Err(NotKept::TooMuch);
        }
        let path = self.path[..self.path.floor_char_boundary(MAX_PATH)].to_owned();
        self.cuts.push(Cut { path, fingerprint });
        Ok(())
    }

    /// The arguments of a container, of a probe: its command and what follows it are one list.
    fn arguments(&mut self, members: &mut Map<String, Value>) -> Step<()> {
        let lists = ["command", "args"];
        let texts = |members: &Map<String, Value>, name: &str| -> Option<Vec<String>> {
            let items = members.get(name)?.as_array()?;
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let [command, args] = lists.map(|name| texts(members, name).unwrap_or_default());
        if command.is_empty() && args.is_empty() {
            return Ok(());
        }
        // Without a command the image's own program gets the arguments.
        let image = members.get("image").and_then(Value::as_str).filter(|_| command.is_empty());
        let image = image.map(|image| program_of_image(image).to_owned());
        let words: Vec<&str> =
            image.as_deref().into_iter().chain(command.iter().chain(&args).map(String::as_str)).collect();
        let spans = argv::find(&words).split_off(usize::from(image.is_some()));
        let mut spans = words[usize::from(image.is_some())..].iter().zip(spans);
        for (name, count) in lists.iter().zip([command.len(), args.len()]) {
            let mut redacted = Vec::with_capacity(count);
            for (at, (word, spans)) in spans.by_ref().take(count).enumerate() {
                self.count()?;
                let text = self.redactor.cut_text(word, &spans);
                let length = self.path.len();
                self.path.push_str(&format!("/{name}/{at}"));
                text.fingerprints.iter().try_for_each(|fingerprint| self.push_cut(*fingerprint))?;
                self.path.truncate(length);
                redacted.push(Value::String(text.text));
            }
            if count > 0 {
                members.insert((*name).to_owned(), Value::Array(redacted));
            }
        }
        Ok(())
    }

    /// Reads each member; keys lose what looks like a secret, managedFields are left out.
    pub(super) fn each_member(
        &mut self,
        members: Map<String, Value>,
        mut read: impl FnMut(&mut Self, &str, Value) -> Step,
    ) -> Step {
        let mut redacted = Map::new();
        for (name, value) in members {
            if name == "managedFields" && value.is_array() {
                continue;
            }
            self.count()?;
            let length = self.path.len();
            let key = self.redactor.text(&name).text;
            self.path.push('/');
            self.path.push_str(&key.replace('~', "~0").replace('/', "~1"));
            let value = read(self, &name, value)?;
            self.path.truncate(length);
            redacted.insert(key, value);
        }
        Ok(Value::Object(redacted))
    }

    pub(super) fn each_item(
        &mut self,
        items: Vec<Value>,
        mut read: impl FnMut(&mut Self, Value) -> Step,
    ) -> Step {
        let mut redacted = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            self.count()?;
            let length = self.path.len();
            self.path.push_str(&format!("/{at}"));
            redacted.push(read(self, item)?);
            self.path.truncate(length);
        }
        Ok(Value::Array(redacted))
    }

    /// Reads something whose own path is not one in the body.
    pub(super) fn without_path<T>(&mut self, read: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        let (length, first) = (self.path.len(), self.cuts.len());
        let path = self.path.clone();
        let result = read(self);
        self.path.truncate(length);
        self.cuts[first..].iter_mut().for_each(|cut| cut.path.clone_from(&path));
        result
    }

    /// Reads something at a path within the text that stands here.
    pub(super) fn within_text<T>(&mut self, read: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        let length = self.path.len();
        self.path.push('#');
        self.embedded += 1;
        let result = read(self);
        self.embedded -= 1;
        self.path.truncate(length);
        result
    }

    pub(super) fn count(&mut self) -> Step<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(NotKept::TooMuch) } else { Ok(()) }
    }
}

/// Whether an object only names another one (`{kind: Secret, name: db}`): an owner, a target, a source of values.
fn is_reference(members: &Map<String, Value>) -> bool {
    let has_values = ["data", "stringData", "binaryData"].iter().any(|name| members.contains_key(*name));
    !has_values && !members.values().any(|value| value.is_object() || value.is_array())
}

/// The name that stands beside a value; of several the one that is a secret's.
fn named_beside(members: &Map<String, Value>) -> Option<String> {
    let names = || NAME_MEMBERS.iter().filter_map(|name| members.get(*name).and_then(Value::as_str));
    let secret = names().find(|name| classify(name) == Secrecy::Secret);
    let name = secret.or_else(|| names().next())?;
    members.keys().any(|name| is_value_member(name)).then(|| name.to_owned())
}

fn is_value_member(name: &str) -> bool {
    VALUE_MEMBERS.contains(&name)
}

/// The last part of an image's name: `registry:5000/library/mysql:8@sha256:…` is mysql.
fn program_of_image(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next().unwrap_or_default()
}
