//! The console's assets: style sheets, scripts, fonts and the player, all embedded in the binary.
//!
//! - An asset's address contains a digest of all assets, so that it can be cached forever and never be stale.
//! - Nothing is loaded from anywhere else.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// One file, as it is served.
pub struct Asset {
    /// The name, which ends its address.
    name: &'static str,
    /// The media type.
    pub media: &'static str,
    /// The content.
    pub bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal as $media:expr,)+) => {
        &[$(Asset { name: $name, media: $media, bytes: include_bytes!(concat!("../static/", $name)) },)+]
    };
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const FONT: &str = "font/woff2";
const TEXT: &str = "text/plain; charset=utf-8";

/// Every asset.
const ASSETS: &[Asset] = assets![
    "mark.svg" as "image/svg+xml",
    "look.css" as CSS,
    "parts.css" as CSS,
    "replay.css" as CSS,
    "timeline.css" as CSS,
    "pages.css" as CSS,
    "theme.js" as SCRIPT,
    "timeline.js" as SCRIPT,
    "pages.js" as SCRIPT,
    "console.js" as SCRIPT,
    "ask.js" as SCRIPT,
    "bytes.js" as SCRIPT,
    "cast.js" as SCRIPT,
    "keys.js" as SCRIPT,
    "live.js" as SCRIPT,
    "player.js" as SCRIPT,
    "proof.js" as SCRIPT,
    "proof-line.js" as SCRIPT,
    "proof-view.js" as SCRIPT,
    "remember.js" as SCRIPT,
    "retouch.js" as SCRIPT,
    "session.js" as SCRIPT,
    "session-proof.js" as SCRIPT,
    "sha256.js" as SCRIPT,
    "visible.js" as SCRIPT,
    "fonts/next.woff2" as FONT,
    "fonts/next-ext.woff2" as FONT,
    "fonts/mono.woff2" as FONT,
    "fonts/mono-ext.woff2" as FONT,
    "fonts/OFL.txt" as TEXT,
    "vendor/asciinema-player.min.js" as SCRIPT,
    "vendor/asciinema-player.css" as CSS,
    "vendor/asciinema-player.LICENSE" as TEXT,
];

/// The asset with this name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The asset's address.
pub(crate) fn href(name: &str) -> String {
    debug_assert!(asset(name).is_some(), "no asset is called {name}");
    format!("/static/{}/{name}", version())
}

/// A digest of all assets, which changes the addresses in a build with other assets.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let mut digest = Sha256::new();
        for asset in ASSETS {
            digest.update(asset.name.as_bytes());
            digest.update(asset.bytes);
        }
        hex::encode(&digest.finalize()[..6])
    });
    &VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_import_only_what_is_served() {
        for script in ASSETS.iter().filter(|asset| asset.media == SCRIPT && !asset.name.contains('/')) {
            let text = std::str::from_utf8(script.bytes).unwrap();
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.rsplit_once("\"./").unwrap().1.trim_end_matches("\";");
                assert!(asset(from).is_some(), "{} imports {from}", script.name);
            }
        }
    }

    #[test]
    fn pages_stay_light_without_the_player() {
        let sent = |asset: &Asset| {
            if asset.media == FONT {
                return asset.bytes.len();
            }
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut packed, asset.bytes).unwrap();
            packed.finish().unwrap().len()
        };
        let fonts = ["fonts/next.woff2", "fonts/mono.woff2"];
        let light = |asset: &&Asset| match asset.media {
            FONT => fonts.contains(&asset.name),
            CSS | SCRIPT => !asset.name.contains('/') && asset.name != "replay.css",
            _ => false,
        };
        let weight: usize = ASSETS.iter().filter(light).map(sent).sum();
        assert!(weight < 110_000, "{weight} bytes as they are sent");
    }
}
