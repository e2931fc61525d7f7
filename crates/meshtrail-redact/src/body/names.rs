//! Which object a body or an answer is about.

use serde_json::Value;

use crate::redactor::Redactor;

/// The longest name that is read, in bytes: object names have at most 253.
const MAX_NAME: usize = 512;

/// The members of an object that say which one it is. None of them is a secret by its meaning; they lose what looks like one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectNames {
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `metadata.name`.
    pub name: Option<String>,
    /// `metadata.generateName`: the beginning of a name that the server completes.
    pub generate_name: Option<String>,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    pub resource_version: Option<String>,
}

impl ObjectNames {
    pub(crate) fn of(object: &Value) -> Self {
        let text = |pointer: &str| {
            let text = object.pointer(pointer).and_then(Value::as_str)?;
            (!text.is_empty() && text.len() <= MAX_NAME).then(|| text.to_owned())
        };
        Self {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            name: text("/metadata/name"),
            generate_name: text("/metadata/generateName"),
            namespace: text("/metadata/namespace"),
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
        }
    }

    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        let members = [
            &mut self.api_version,
            &mut self.kind,
            &mut self.name,
            &mut self.generate_name,
            &mut self.namespace,
            &mut self.uid,
            &mut self.resource_version,
        ];
        for text in members.into_iter().flatten() {
            *text = redactor.text(text).text;
        }
    }
}
