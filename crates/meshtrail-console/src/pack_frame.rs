//! The HTML frame around an evidence pack's data, which is the same for every pack of a version.
//!
//! The page's modules are concatenated to one classic script, since files opened from a disk can't import each other.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

const FRAME: &str = include_str!("../static/pack/frame.html");
const PLAYER: &str = include_str!("../static/vendor/asciinema-player.min.js");

/// The modules, in order of their imports.
const MODULES: &[&str] = &[
    include_str!("../static/bytes.js"),
    include_str!("../static/visible.js"),
    include_str!("../static/sha256.js"),
    include_str!("../static/proof.js"),
    include_str!("../static/proof-view.js"),
    include_str!("../static/session-proof.js"),
    include_str!("../static/cast.js"),
    include_str!("../static/player.js"),
    include_str!("../static/pack/pack-check.js"),
    include_str!("../static/pack/pack.js"),
];

const STYLES: &[&str] = &[
    include_str!("../static/look.css"),
    include_str!("../static/parts.css"),
    include_str!("../static/vendor/asciinema-player.css"),
    include_str!("../static/replay.css"),
    include_str!("../static/pack/pack.css"),
];

const FONTS: &[(&str, &[u8])] = &[
    ("fonts/next.woff2", include_bytes!("../static/fonts/next.woff2")),
    ("fonts/mono.woff2", include_bytes!("../static/fonts/mono.woff2")),
];

/// The text before and after the data.
struct Frame {
    before: String,
    after: String,
}

static FRAME_PARTS: LazyLock<Frame> = LazyLock::new(|| {
    let (script, style) = (script(), style());
    let policy = format!(
        "default-src 'none'; script-src {} {} 'wasm-unsafe-eval'; style-src {}; font-src data:; img-src data:; base-uri 'none'; form-action 'none'",
        source_hash(PLAYER),
        source_hash(&script),
        source_hash(&style)
    );
    let (before, after) = FRAME.split_once("{{data}}").expect("the frame has a place for the data");
    Frame {
        before: before.replacen("{{policy}}", &policy, 1).replacen("{{style}}", &style, 1),
        after: after.replacen("{{player}}", PLAYER, 1).replacen("{{script}}", &script, 1),
    }
});

/// Builds the file with this JSON. `<` is escaped, so that no text can end the block or open a comment.
pub fn embed(json: &str) -> Vec<u8> {
    let escaped = json.replace('<', "\\u003c");
    [FRAME_PARTS.before.as_bytes(), escaped.as_bytes(), FRAME_PARTS.after.as_bytes()].concat()
}

/// The data extracted from a file.
pub struct EmbeddedData<'a> {
    /// The JSON text.
    pub data: &'a str,
    /// Whether the rest of the file is exactly what this version writes.
    pub is_current_frame: bool,
}

/// Finds the data in a file, by the markup that every pack has.
pub fn extract(html: &str) -> Option<EmbeddedData<'_>> {
    const BEGIN: &str = "<script type=\"application/json\" id=\"pack\">";
    let begin = html.find(BEGIN)? + BEGIN.len();
    let end = begin + html[begin..].find("</script>")?;
    let is_current_frame = html[..begin] == FRAME_PARTS.before && html[end..] == FRAME_PARTS.after;
    Some(EmbeddedData { data: &html[begin..end], is_current_frame })
}

fn script() -> String {
    let mut whole = String::from("(() => {\n\"use strict\";\n");
    for line in MODULES.iter().flat_map(|module| module.lines()).filter(|line| !line.starts_with("import ")) {
        whole.push_str(line.strip_prefix("export ").unwrap_or(line));
        whole.push('\n');
    }
    whole.push_str("})();");
    whole
}

/// The styles, with the Latin fonts embedded; fonts that only pages of a server load are left out.
fn style() -> String {
    let mut whole = String::new();
    for line in STYLES.iter().flat_map(|style| style.lines()).filter(|line| !line.contains("-ext.woff2")) {
        whole.push_str(line);
        whole.push('\n');
    }
    for (name, bytes) in FONTS {
        whole = whole.replace(name, &format!("data:font/woff2;base64,{}", BASE64_STANDARD.encode(bytes)));
    }
    whole
}

fn source_hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_part_can_end_the_element_it_stands_in() {
        for part in [PLAYER, &script()] {
            assert!(!part.contains("</script") && !part.contains("<!--"), "a script ends its own element");
        }
        assert!(!style().contains("</style"));
    }

    #[test]
    fn modules_share_one_scope_without_a_clash() {
        let mut seen = BTreeSet::new();
        for line in MODULES.iter().flat_map(|module| module.lines()) {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            for word in ["function ", "class ", "const ", "let "] {
                let Some(rest) = line.strip_prefix(word) else { continue };
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(seen.insert(name.clone()), "{name} is declared in two modules");
            }
        }
    }

    #[test]
    fn the_frame_loads_nothing_from_outside() {
        let whole = String::from_utf8(embed("{}")).unwrap();
        assert!(!whole.contains(" src=") && !whole.contains("<link"), "something is loaded");
        assert!(style().matches("url(").count() == FONTS.len(), "a style loads more than the faces");
        assert_eq!(style().matches("url(data:font/woff2;base64,").count(), FONTS.len());
    }

    #[test]
    fn what_was_put_in_comes_out_and_a_changed_frame_shows() {
        let html = String::from_utf8(embed("{\"a\":\"</script><!--\"}")).unwrap();
        let embedded = extract(&html).unwrap();
        assert!(embedded.is_current_frame);
        assert_eq!(serde_json::from_str::<serde_json::Value>(embedded.data).unwrap()["a"], "</script><!--");
        assert!(!extract(&html.replacen("Evidence", "evidence", 1)).unwrap().is_current_frame);
    }
}
