//! `[limits]`: the part of each shared limit that one peer may use.

use std::collections::BTreeMap;

use meshtrail_listen::{Share, Shares};
use serde::Deserialize;

use super::{ConfigError, invalid_value};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    per_peer: Option<f64>,
    shares: BTreeMap<String, f64>,
}

impl TryFrom<LimitsFile> for Shares {
    type Error = ConfigError;

    fn try_from(file: LimitsFile) -> Result<Shares, ConfigError> {
        let each = file.per_peer.map(|part| parse_share("limits.per_peer", part)).transpose()?;
        let mut shares = Shares::uniform(each.unwrap_or(Share::EIGHTH));
        for (name, part) in file.shares {
            let key = format!("limits.shares.{name:?}");
            let part = parse_share(&key, part)?;
            shares.set(&name, part).map_err(|error| invalid_value(key, error.to_string()))?;
        }
        Ok(shares)
    }
}

fn parse_share(key: &str, part: f64) -> Result<Share, ConfigError> {
    let thousandths = (part * 1000.0).round();
    let in_range = (1.0..=1000.0).contains(&thousandths);
    in_range.then_some(thousandths as u32).and_then(Share::thousandths).ok_or_else(|| {
        invalid_value(
            key,
            format!("{part} is no part of a whole: write a number from 0.001 to 1, such as 0.125"),
        )
    })
}

#[cfg(test)]
mod tests {
    use meshtrail_listen::{Identity, Peer};

    use super::*;

    fn read(text: &str) -> Result<Shares, String> {
        let file: LimitsFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Shares::try_from(file).map_err(|error| error.to_string())
    }

    #[test]
    fn a_peer_has_an_eighth_and_a_jump_host_what_its_name_says() {
        let jump = Peer::from_identity(Identity::new("n7", ["jump.tail.example".to_owned()]));
        let shares = read("[shares]\n\"10.20.0.0/16\" = 0.5\n\"jump.tail.example\" = 1").unwrap();
        let of = |peer: &Peer| shares.of(peer).of(20_000);
        assert_eq!(of(&Peer::from_ip([127, 0, 0, 1].into())), 2500);
        assert_eq!((of(&Peer::from_ip([10, 20, 3, 4].into())), of(&jump)), (10_000, 20_000));
        let shares = read("per_peer = 0.25").unwrap();
        assert_eq!(shares.of(&jump).of(20_000), 5000);
    }

    #[test]
    fn a_part_that_is_none_and_a_name_of_nobody_are_refused_by_their_key() {
        for (text, key) in [
            ("per_peer = 0", "limits.per_peer: "),
            ("per_peer = 1.5", "limits.per_peer: "),
            ("per_peer = nan", "limits.per_peer: "),
            ("[shares]\n\"10.0.0.300\" = 0.5", "limits.shares.\"10.0.0.300\": "),
            ("[shares]\n\"web.example\" = -1.0", "limits.shares.\"web.example\": "),
            ("per_per = 0.5", "unknown field `per_per`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }
}
