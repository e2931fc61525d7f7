//! The forms in which senders present their token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

/// The texts in a request that may be the token: none without the header, an empty list for an unknown form.
pub(crate) fn presented_tokens(headers: &HeaderMap) -> Option<Vec<String>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let Ok(value) = value.to_str() else { return Some(Vec::new()) };
    let value = value.trim();
    let Some((scheme, rest)) = value.split_once(' ') else {
        return Some(vec![value.to_owned()]);
    };
    let rest = rest.trim();
    Some(match scheme.to_ascii_lowercase().as_str() {
        "splunk" | "bearer" => vec![rest.to_owned()],
        "basic" => decode_base64(rest)
            .and_then(|pair| pair.split_once(':').map(|(_, password)| password_candidates(password)))
            .unwrap_or_default(),
        // Elasticsearch: base64 of `id:key`; some senders hand over the key alone.
        "apikey" => {
            let key =
                decode_base64(rest).and_then(|pair| pair.split_once(':').map(|(_, key)| key.to_owned()));
            key.into_iter().chain([rest.to_owned()]).collect()
        }
        _ => Vec::new(),
    })
}

/// The password may have been configured as `Splunk TOKEN` instead of the token alone.
fn password_candidates(password: &str) -> Vec<String> {
    let bare = password.strip_prefix("Splunk ").map(|rest| rest.trim().to_owned());
    bare.into_iter().chain([password.to_owned()]).collect()
}

fn decode_base64(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_senders_use_shows_the_token() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for value in [
            "Splunk s3cr3t".to_owned(),
            "Bearer s3cr3t".to_owned(),
            "s3cr3t".to_owned(),
            basic("user:s3cr3t"),
            basic("user:Splunk s3cr3t"),
            format!("ApiKey {}", STANDARD.encode("id:s3cr3t")),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert!(presented_tokens(&headers).unwrap().contains(&"s3cr3t".to_owned()), "{value}");
        }
        for value in ["Digest s3cr3t", "Basic ???", &basic("s3cr3t")] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert!(presented_tokens(&headers).unwrap().is_empty(), "{value}");
        }
        assert_eq!(presented_tokens(&HeaderMap::new()), None);
    }
}
