//! Log ids: the private one is a credential in a path, the public one names the stream.

use sha2::{Digest, Sha256};

use crate::receive::store::hex;

/// The public id of a stream: SHA-256 of the private id's 32 bytes, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PublicId(String);

impl PublicId {
    /// The public id of a private id as it stands in a path; none where that is no id, or the one of nobody.
    pub(crate) fn of_private(text: &str) -> Option<Self> {
        let mut private = [0u8; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in private.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        (private != [0; 32]).then(|| Self(hex(&Sha256::digest(private))))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it to tell streams apart by eye.
    pub(crate) fn short(&self) -> &str {
        &self.0[..12]
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// What a path asks for.
pub(crate) struct Place {
    pub(crate) collection: String,
    pub(crate) id: PublicId,
}

impl Place {
    /// Reads `…/c/<collection>/<private id>`; a prefix before it is the sender's configuration and does not matter.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
        let (id, collection, mark) = (parts.next()?, parts.next()?, parts.next()?);
        let named = collection.len() <= 64
            && collection
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        (mark == "c" && named)
            .then(|| PublicId::of_private(id))
            .flatten()
            .map(|id| Self { collection: collection.to_owned(), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_id_is_the_digest_of_the_private_one() {
        let private = format!("08{}40", "00".repeat(30));
        let public = "77123d775463a62608f5113eef8c72791710e9fff7a0db525e654dbfa27b5f6e";
        assert_eq!(PublicId::of_private(&private).unwrap().as_str(), public);
        assert_eq!(PublicId::of_private(&private.to_uppercase()).unwrap().as_str(), public);
        for bad in ["", "00", &"0".repeat(64), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(PublicId::of_private(bad), None, "{bad}");
        }
        for path in ["/c/a.b/", "//c/a.b/", "/some/prefix/c/a.b/"] {
            assert!(Place::of_path(&format!("{path}{private}")).is_some(), "{path}");
        }
        assert!(Place::of_path(&format!("/d/a.b/{private}")).is_none());
    }
}
