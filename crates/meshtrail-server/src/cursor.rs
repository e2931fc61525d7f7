//! Where a page of a list goes on: opaque to callers, checked when it comes back.
//!
//! A cursor holds a position and a check over the question it belongs to, so that it can't be used to go on in
//! another list or with another filter. It is no secret: who may ask the question may see the whole list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

const CHECK: usize = 6;

/// Writes the cursor of `position` in the list that `question` asks for.
pub(crate) fn write(question: &str, position: &str) -> String {
    let mut bytes = check(question).to_vec();
    bytes.extend_from_slice(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads the position back, if the cursor belongs to `question`.
pub(crate) fn read(question: &str, cursor: &str) -> Result<String, Problem> {
    let wrong = || {
        Problem::bad_request(
            "cursor",
            "this cursor is not from an answer to the same question; begin again without a cursor",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    match bytes.split_at_checked(CHECK) {
        Some((kept, position)) if kept == check(question) => {
            String::from_utf8(position.to_vec()).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn check(question: &str) -> [u8; CHECK] {
    let digest = Sha256::digest(question.as_bytes());
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
        for (question, text) in
            [("events", cursor.as_str()), ("events kind:ssh.*", "x"), ("events kind:ssh.*", "")]
        {
            assert_eq!(read(question, text).unwrap_err().field.as_deref(), Some("cursor"));
        }
    }
}
