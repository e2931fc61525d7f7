//! Secrets that are known by their form, wherever they stand: tokens of services, private keys, hashes of passwords.

use std::ops::Range;

use crate::spans::Span;

/// A token: how it begins, and at least how many letters follow.
struct Form {
    start: &'static str,
    least: usize,
}

const fn form(start: &'static str, least: usize) -> Form {
    Form { start, least }
}

/// Published beginnings of tokens. What follows are letters, digits, `_`, `-` and `.`.
const FORMS: &[Form] = &[
    // AWS: access keys, temporary ones too.
    form("AKIA", 16),
    form("ASIA", 16),
    form("ABIA", 16),
    form("ACCA", 16),
    // GitHub, GitLab, Atlassian, Bitbucket.
    form("ghp_", 6),
    form("gho_", 6),
    form("ghu_", 6),
    form("ghs_", 6),
    form("ghr_", 6),
    form("github_pat_", 6),
    form("glpat-", 6),
    form("gldt-", 6),
    form("glrt-", 6),
    form("glcbt-", 6),
    form("glptt-", 6),
    form("gloas-", 6),
    form("ATATT3", 16),
    form("ATBB", 24),
    // Slack, Stripe, SendGrid, Twilio, Mailgun, Shopify, Square.
    form("xoxb-", 6),
    form("xoxp-", 6),
    form("xoxa-", 6),
    form("xoxr-", 6),
    form("xoxs-", 6),
    form("xoxe.", 6),
    form("xapp-", 6),
    form("sk_live_", 6),
    form("sk_test_", 6),
    form("rk_live_", 6),
    form("rk_test_", 6),
    form("whsec_", 6),
    form("SG.", 20),
    form("shpat_", 6),
    form("shpss_", 6),
    form("sq0atp-", 6),
    form("sq0csp-", 6),
    // Model services.
    form("sk-proj-", 6),
    form("sk-ant-", 6),
    form("sk-", 20),
    form("hf_", 20),
    // Google.
    form("AIza", 30),
    form("ya29.", 10),
    form("GOCSPX-", 10),
    // A bearer token as browsers send it to an API server, in a WebSocket's protocols.
    form("base64url.bearer.authorization.k8s.io.", 6),
    // HashiCorp, Tailscale, Headscale, Meshtrail.
    form("hvs.", 6),
    form("hvb.", 6),
    form("hvr.", 6),
    form("tskey-", 6),
    form("hskey-", 6),
    form("mt_", 32),
    // Registries and clouds.
    form("npm_", 20),
    form("pypi-AgE", 10),
    form("dckr_pat_", 6),
    form("dop_v1_", 16),
    form("doo_v1_", 16),
    form("glsa_", 10),
    form("NRAK-", 16),
    form("lin_api_", 10),
    form("pul-", 32),
    form("pscale_tkn_", 6),
    form("pscale_pw_", 6),
    form("dp.pt.", 16),
    form("nvapi-", 10),
    form("AGE-SECRET-KEY-1", 20),
    form("PMAK-", 16),
    form("rubygems_", 16),
    form("cio", 40),
    form("dapi", 32),
    form("eyJrIjoi", 20),
];

/// Identifiers of password hashes in crypt(3)'s form, `$id$…`.
const HASHES: &[&str] = &[
    "1",
    "2a",
    "2b",
    "2x",
    "2y",
    "5",
    "6",
    "7",
    "y",
    "gy",
    "apr1",
    "md5",
    "sha1",
    "argon2i",
    "argon2d",
    "argon2id",
    "scrypt",
    "pbkdf2",
    "pbkdf2-sha256",
    "pbkdf2-sha512",
    "bcrypt-sha256",
    "P",
    "H",
    "S",
];

/// Hashes of passwords in LDAP's form.
const LDAP_HASHES: &[&str] =
    &["{SSHA}", "{SHA}", "{SMD5}", "{MD5}", "{CRYPT}", "{SSHA256}", "{SSHA512}", "{PBKDF2}"];

/// Paths below which the last segment is a secret, by host.
const HOOKS: &[&str] = &[
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "api.telegram.org/bot",
];

/// Adds every secret in `text` that is known by its form.
pub(crate) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let (mut at, mut no_web_token) = (0, 0);
    while at < bytes.len() {
        // Each run of letters is looked at once for a web token, however often one could begin in it.
        if bytes[at..].starts_with(b"eyJ") && at >= no_web_token && begins_word(bytes, at) {
            match web_token(bytes, at) {
                Ok(range) => {
                    at = range.end;
                    spans.push(Span::plain(text, range));
                    continue;
                }
                Err(end) => no_web_token = end,
            }
        }
        match secret_at(text, at) {
            Some(range) => {
                at = range.end.max(at + 1);
                spans.push(Span::plain(text, range));
            }
            None => at += 1,
        }
    }
    find_hooks(text, spans);
}

fn secret_at(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'-' if text[at..].starts_with("-----BEGIN ") => private_key(text, at),
        b'$' => hash(text, at),
        b'{' => ldap_hash(text, at),
        letter if letter.is_ascii_alphanumeric() && begins_word(bytes, at) => token(text, at),
        _ => None,
    }
}

/// Whether no letter or digit stands before `at`; after `%3D` and the like a word begins too.
fn begins_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let escaped = at >= 3 && bytes[at - 3] == b'%' && bytes[at - 2..at].iter().all(u8::is_ascii_hexdigit);
    before.is_none_or(|before| !before.is_ascii_alphanumeric() && before < 128) || escaped
}

fn is_token_letter(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.')
}

fn run(bytes: &[u8], from: usize, letter: impl Fn(u8) -> bool) -> usize {
    from + bytes[from..].iter().take_while(|byte| letter(**byte)).count()
}

fn token(text: &str, at: usize) -> Option<Range<usize>> {
    let (bytes, rest) = (text.as_bytes(), &text.as_bytes()[at..]);
    let form = FORMS.iter().find(|form| rest.starts_with(form.start.as_bytes()))?;
    let from = at + form.start.len();
    // A dot or hyphen at the end is the sentence's.
    let end = run(bytes, from, is_token_letter);
    let end = end - bytes[from..end].iter().rev().take_while(|byte| matches!(byte, b'.' | b'-')).count();
    (end - from >= form.least).then_some(at..end)
}

/// A JSON Web Token: two or three parts of base64 for URLs, the first of which begins with `{"`. What is none says where its
/// letters end.
fn web_token(bytes: &[u8], at: usize) -> Result<Range<usize>, usize> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=');
    let (mut end, mut parts) = (run(bytes, at, letter), 1);
    while parts < 5 && bytes.get(end) == Some(&b'.') {
        let next = run(bytes, end + 1, letter);
        if next == end + 1 && parts > 1 {
            break;
        }
        (end, parts) = (next, parts + 1);
    }
    if parts >= 2 && end - at >= 16 { Ok(at..end) } else { Err(end) }
}

/// The lines within a private key's armour; to the text's end if it has none.
fn private_key(text: &str, at: usize) -> Option<Range<usize>> {
    let label = &text[at + "-----BEGIN ".len()..];
    let label_end = label.find("-----")?;
    let label = &label[..label_end];
    let public = ["CERTIFICATE", "PUBLIC KEY", "CRL", "DH PARAMETERS", "EC PARAMETERS"];
    if label.len() > 64 || public.iter().any(|word| label.contains(word)) {
        return None;
    }
    let from = at + "-----BEGIN ".len() + label_end + "-----".len();
    let end = text[from..].find("-----END").map_or(text.len(), |end| from + end);
    let body = text[from..end].trim_matches(|letter: char| letter.is_whitespace());
    let start = from + text[from..end].find(body)?;
    // A text without line breaks has them as `\n`.
    (!body.is_empty()).then_some(start..start + body.len())
}

fn hash(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at + 1..];
    let end = rest.find('$').filter(|end| *end <= 16)?;
    let is_hash = HASHES.contains(&&rest[..end]);
    let part = |letter: u8| {
        !letter.is_ascii_whitespace() && !matches!(letter, b'"' | b'\'' | b'\\' | b':') && letter < 128
    };
    let last = if is_hash { run(text.as_bytes(), at, part) } else { at };
    (is_hash && last - at >= end + 6).then_some(at..last)
}

fn ldap_hash(text: &str, at: usize) -> Option<Range<usize>> {
    let form = LDAP_HASHES.iter().find(|form| {
        text.as_bytes()
            .get(at..at + form.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(form.as_bytes()))
    })?;
    let from = at + form.len();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'$' | b'.');
    let end = run(text.as_bytes(), from, letter);
    (end - from >= 8).then_some(from..end)
}

fn find_hooks(text: &str, spans: &mut Vec<Span>) {
    for hook in HOOKS {
        for (at, _) in text.match_indices(hook) {
            let from = at + hook.len();
            let letter = |byte: &u8| is_token_letter(*byte) || matches!(byte, b'/' | b':' | b'%');
            let end = from + text.as_bytes()[from..].iter().take(256).take_while(|byte| letter(byte)).count();
            if hook.ends_with("bot") {
                let end = text[from..end].find('/').map_or(end, |slash| from + slash);
                spans.push(Span::plain(text, from..end));
            } else if let Some(slash) = text[from..end].trim_end_matches('/').rfind('/') {
                spans.push(Span::plain(text, from + slash + 1..end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut spans = Vec::new();
        find(text, &mut spans);
        spans.into_iter().map(|span| text[span.range].to_owned()).collect()
    }

    #[test]
    fn tokens_are_found_within_words_of_any_text() {
        assert_eq!(found("echo ghp_NotReal0123456789abc."), ["ghp_NotReal0123456789abc"]);
        assert_eq!(found("id=AKIAIOSFODNN7EXAMPLE;"), ["AKIAIOSFODNN7EXAMPLE"]);
        assert_eq!(found("x%3Dhvs.NotReal15NotReal15"), ["hvs.NotReal15NotReal15"]);
        assert_eq!(
            found("eyJhbGciOiJub25lIn0.eyJzdWIiOiJleGFtcGxlIn0. x"),
            ["eyJhbGciOiJub25lIn0.eyJzdWIiOiJleGFtcGxlIn0"]
        );
        assert_eq!(found("'$6$salt$NotRealHash/x.' app"), ["$6$salt$NotRealHash/x."]);
        assert_eq!(found("v5, base64url.bearer.authorization.k8s.io.Tm90UmVhbA").len(), 1);
        assert_eq!(found("https://hooks.slack.com/services/T0/B0/NotReal"), ["NotReal"]);
    }

    #[test]
    fn private_keys_are_found_and_certificates_are_not() {
        let key = "a -----BEGIN EC PRIVATE KEY-----\nTm90UmVhbA==\n-----END EC PRIVATE KEY----- b";
        assert_eq!(found(key), ["Tm90UmVhbA=="]);
        assert_eq!(
            found("-----BEGIN RSA PRIVATE KEY-----\nTm90UmVhbA=="),
            ["Tm90UmVhbA=="],
            "to the end if it has none"
        );
        assert!(found("-----BEGIN CERTIFICATE-----\nTm90UmVhbA==\n-----END CERTIFICATE-----").is_empty());
    }

    #[test]
    fn what_only_begins_alike_is_left() {
        for text in [
            "AKIA", "sk-learn", "$HOME/x", "${x}", "{shape}", "eyJust", "mt_rand", "hf_hub", "taskey-x",
            "$1$",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
