//! Enums that keep words from newer versions.

/// Declares an enum that is a word on the wire and keeps unknown words in `Other`.
macro_rules! open_enum {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $about:literal])+ $variant:ident = $word:literal,)+ }) => {
        meshtrail_event::open_enum_core! {
            $(#[doc = $doc])+
            $name { $($(#[doc = $about])+ $variant = $word,)+ }
        }

        impl $name {
            /// Every word that this version knows.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// Reads a word of a request, where one that this version does not know is an error.
            pub fn deserialize_known<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match <Self as serde::Deserialize>::deserialize(deserializer)? {
                    Self::Other(word) => Err(serde::de::Error::unknown_variant(&word, Self::WORDS)),
                    known => Ok(known),
                }
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                crate::schema::words([$($doc),+].concat().trim(), Self::WORDS)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

pub(crate) use open_enum;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::tokens::Role;

    #[test]
    fn a_word_of_a_newer_version_is_kept_in_an_answer_and_refused_in_a_request() {
        let role: Role = serde_json::from_str(r#""operator""#).unwrap();
        assert_eq!(role, Role::Other("operator".into()));
        assert_eq!(serde_json::to_string(&role).unwrap(), r#""operator""#);

        #[derive(Deserialize)]
        struct Request {
            #[serde(deserialize_with = "Role::deserialize_known")]
            role: Role,
        }
        let known: Request = serde_json::from_str(r#"{"role":"admin"}"#).unwrap();
        assert_eq!(known.role, Role::Admin);
        let refused = serde_json::from_str::<Request>(r#"{"role":"operator"}"#).map(|request| request.role);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .starts_with("unknown variant `operator`, expected one of `sender`")
        );
    }
}
