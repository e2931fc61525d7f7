//! The members of a leaf that filters look at, borrowed from it.
//!
//! Reading is lenient: a member of an unexpected form counts as absent, so that a leaf of a newer version is still
//! found by the members that this version understands.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A text; none if the member has another form.
#[derive(Debug, Default)]
pub(crate) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// The texts of a list; none for elements of another form.
#[derive(Debug, Default)]
pub(crate) struct Texts<'a>(pub(crate) Vec<Text<'a>>);

impl Texts<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Text::get)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Text<'de>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(TextsVisitor)
    }
}

macro_rules! view {
    ($(#[$meta:meta])* $name:ident { $($field:ident $(= $rename:literal)?: $of:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default)]
        pub(crate) struct $name<'a> {
            $($(#[serde(rename = $rename)])? #[serde(borrow)] pub(crate) $field: $of<'a>,)+
        }
    };
}

/// A member that is parsed only when it is needed.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct LazyMember<'a>(#[serde(borrow)] Option<&'a RawValue>);

view! {
    /// A leaf.
    Leaf {
        actor: Actor,
        detail: LazyMember,
        id: Text,
        identity: Identity,
        kind: Text,
        outcome: Text,
        session: Text,
        target: Target,
        time: Text,
    }
}

view! {
    Actor {
        device: Device,
        person: Person,
        service: Text,
        tags: Texts,
    }
}

view! {
    Person {
        groups: Texts,
        login: Text,
        name: Text,
    }
}

view! {
    Device {
        addresses: Texts,
        id: Text,
        name: Text,
        tags: Texts,
    }
}

view! {
    Identity {
        claimed: Claimed,
        provider: Text,
        status: Text,
    }
}

view! {
    Claimed {
        login: Text,
        node: Text,
        node_id: Text,
        tags: Texts,
    }
}

view! {
    Target {
        account: Text,
        address: Text,
        cluster: Text,
        container: Text,
        device: Device,
        id: Text,
        name: Text,
        namespace: Text,
    }
}

view! {
    /// The members of a detail that fields look at; each kind has some of them.
    Detail {
        address: Text,
        argv: Texts,
        bind: Text,
        command: Text,
        dst: Text,
        dst_node: Text,
        executable: Text,
        path: Text,
        peer: Text,
        recorded_by: Text,
        rule: Text,
        severity: Text,
        src: Text,
        src_node: Text,
        status: Text,
        subject: Subject,
    }
}

view! {
    /// What a finding is about.
    Subject {
        id: Text,
        of_type = "type": Text,
    }
}

impl<'a> Leaf<'a> {
    /// Reads the leaf's members; none if the bytes are not an event.
    pub(crate) fn read(leaf: &'a [u8]) -> Option<Leaf<'a>> {
        serde_json::from_slice(leaf).ok()
    }

    /// Reads the detail's members.
    pub(crate) fn detail(&self) -> Detail<'a> {
        self.detail.0.and_then(|detail| serde_json::from_str(detail.get()).ok()).unwrap_or_default()
    }
}
