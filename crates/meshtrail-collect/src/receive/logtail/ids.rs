//! Log ids: the private one is a credential in the request's path, the public one identifies the stream.

use sha2::{Digest, Sha256};

use crate::receive::store::hex;

/// The public id of a stream: SHA-256 of the private id's 32 bytes, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PublicId(String);

impl PublicId {
    /// The public id of a private id in a path; none if that is malformed or all zero.
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

    /// A prefix for logs.
    pub(crate) fn short(&self) -> &str {
        &self.0[..12]
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The target of an upload, from its URL.
pub(crate) struct UploadTarget {
    pub(crate) collection: String,
    pub(crate) id: PublicId,
    /// The stream that gets a copy: for flow logs, the tailnet's. Knowing its private id grants writing to it.
    pub(crate) copy: Option<PublicId>,
}

impl UploadTarget {
    /// Parses `…/c/<collection>/<private id>[?copyId=<private id>]`; any prefix is accepted, since senders can configure one.
    pub(crate) fn of(path: &str, query: Option<&str>) -> Option<Self> {
        let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
        let (id, collection, mark) = (parts.next()?, parts.next()?, parts.next()?);
        let named = collection.len() <= 64
            && collection
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if mark != "c" || !named {
            return None;
        }
        let copies: Vec<&str> = query
            .unwrap_or_default()
            .split('&')
            .filter_map(|member| member.strip_prefix("copyId="))
            .collect();
        let copy = match copies[..] {
            [] => None,
            [copy] => Some(PublicId::of_private(copy)?),
            _ => return None,
        };
        Some(Self { collection: collection.to_owned(), id: PublicId::of_private(id)?, copy })
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
            assert!(UploadTarget::of(&format!("{path}{private}"), None).is_some(), "{path}");
        }
        assert!(UploadTarget::of(&format!("/d/a.b/{private}"), None).is_none());
    }

    #[test]
    fn a_copy_is_for_a_stream_whose_private_id_is_given() {
        let (node, tailnet) = (format!("08{}40", "00".repeat(30)), "11".repeat(32));
        let copy =
            |query: &str| UploadTarget::of(&format!("/c/a.b/{node}"), Some(query)).map(|target| target.copy);
        let public = PublicId::of_private(&tailnet);
        assert!(public.is_some());
        assert_eq!(copy(&format!("copyId={tailnet}")), Some(public.clone()));
        assert_eq!(copy(&format!("x=y&copyId={tailnet}")), Some(public));
        assert_eq!(copy("copyid=none&x"), Some(None));
        for bad in
            ["copyId=".to_owned(), "copyId=11".to_owned(), format!("copyId={tailnet}&copyId={tailnet}")]
        {
            assert_eq!(copy(&bad), None, "{bad}");
        }
    }
}
