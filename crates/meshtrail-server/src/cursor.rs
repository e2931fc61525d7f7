//! Pagination cursors: opaque to callers, and checked when they come back.
//!
//! A cursor holds a position, with the name of its trail, and a truncated digest of the query it belongs to, so that it
//! can't be used with another list or another filter. It is no secret: whoever may run the query may read the whole list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Length of the truncated digest, in bytes.
const CHECK: usize = 6;

/// Encodes `position` in the list of `query`.
pub(crate) fn write(query: &str, position: &str) -> String {
    let mut bytes = check(query).to_vec();
    bytes.extend_from_slice(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes the position, if the cursor belongs to `query`.
pub(crate) fn read(query: &str, cursor: &str) -> Result<String, Problem> {
    let wrong = || {
        Problem::bad_request(
            "cursor",
            "this cursor is not from an answer to the same question; begin again without a cursor",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    match bytes.split_at_checked(CHECK) {
        Some((stored, position)) if stored == check(query) => {
            String::from_utf8(position.to_vec()).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn check(query: &str) -> [u8; CHECK] {
    let digest = Sha256::digest(query.as_bytes());
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_only_where_it_came_from() {
        let cursor = write("events kind:ssh.*", "17");
        assert_eq!(read("events kind:ssh.*", &cursor).unwrap(), "17");
        for (query, text) in
            [("events", cursor.as_str()), ("events kind:ssh.*", "x"), ("events kind:ssh.*", "")]
        {
            assert_eq!(read(query, text).unwrap_err().field.as_deref(), Some("cursor"));
        }
    }
}
