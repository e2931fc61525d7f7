//! Whether a value is a secret by its looks, or is none although its name says so.

use base64::{Engine, prelude::BASE64_STANDARD};

/// Folders in which an absolute path begins. A secret may begin with a slash as well, so that not every path is one.
const ROOTS: &[&str] = &[
    "app",
    "bin",
    "config",
    "data",
    "dev",
    "etc",
    "home",
    "lib",
    "mnt",
    "opt",
    "proc",
    "private",
    "root",
    "run",
    "sbin",
    "secrets",
    "srv",
    "sys",
    "tmp",
    "usr",
    "Users",
    "var",
    "vault",
    "work",
    "workspace",
];

/// Endings of files that hold keys and settings.
const FILE_ENDINGS: &[&str] = &[
    ".asc", ".cer", ".conf", ".cnf", ".crt", ".csv", ".der", ".env", ".gpg", ".ini", ".jks", ".json", ".key",
    ".p12", ".pem", ".pfx", ".pub", ".toml", ".txt", ".yaml", ".yml",
];

/// Beginnings of references to a secret that is kept elsewhere.
const REFERENCES: &[&str] = &[
    "arn:aws:secretsmanager:",
    "arn:aws:ssm:",
    "awssm://",
    "env:",
    "fd:",
    "file:",
    "op://",
    "projects/",
    "ref+",
    "secretref:",
    "vault:secret/",
    "vault:kv/",
];

/// The longest value that is a path, a reference or random text by its looks: names follow each other closely in a text,
/// and each value is read to its end.
const MAX_READ: usize = 4096;

/// Values of a secret's option that are none: it is empty, a switch, a mask, or says where the secret is.
pub(crate) fn is_harmless(value: &str) -> bool {
    let value = value.trim();
    const WORDS: &[&str] = &[
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "null",
        "none",
        "nil",
        "undefined",
        "stdin",
        "prompt",
        "-",
    ];
    value.is_empty()
        || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        || value.chars().all(|letter| matches!(letter, '*' | '•' | '…'))
        || value.len() <= MAX_READ && (is_path(value) || is_reference(value))
}

/// Whether this is the path of a file: it begins as one, or is one word that ends as a file of keys or settings.
pub(crate) fn is_path(value: &str) -> bool {
    let value = value.strip_prefix('@').unwrap_or(value);
    let plain = |text: &str| {
        text.chars().all(|letter| {
            letter.is_ascii_alphanumeric()
                || matches!(letter, '/' | '.' | '_' | '-' | '~' | ':' | '{' | '}' | '$')
        })
    };
    if !plain(value) {
        return false;
    }
    if let Some(rest) = value.strip_prefix('/') {
        return ROOTS.contains(&rest.split('/').next().unwrap_or_default());
    }
    let relative = ["./", "../", "~/"].iter().any(|start| value.starts_with(start));
    let lower = value.to_ascii_lowercase();
    relative
        || value == "."
        || FILE_ENDINGS.iter().any(|ending| lower.len() > ending.len() && lower.ends_with(ending))
}

/// Whether all of the value names a secret that is elsewhere: a variable of Kubernetes, a template, a vault's path.
fn is_reference(value: &str) -> bool {
    let inner = value
        .strip_prefix("$(")
        .and_then(|rest| rest.strip_suffix(')'))
        .or_else(|| value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')));
    if let Some(inner) = inner {
        return !inner.is_empty()
            && inner
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.'));
    }
    if let Some(inner) = value.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
        return !inner.contains(['{', '}', '"', '\'']);
    }
    REFERENCES.iter().any(|start| value.starts_with(start)) && !value.contains(char::is_whitespace)
}

/// Whether a value whose name only may be of a secret looks like one: long enough, of several kinds of characters, and
/// neither a word nor a path nor an address.
pub(crate) fn is_possible_secret(value: &str) -> bool {
    let letters = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    user_and_password(value).is_some()
        || is_random(value)
        || is_uuid(value)
        || value.len() >= 16 && letters && digits >= 2 && plain
}

/// `8-4-4-4-12` hex digits, which many services give out as keys.
fn is_uuid(value: &str) -> bool {
    let lengths = value.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Whether the value is random text by its looks: long, and with small letters, capitals and digits in no order.
pub(crate) fn is_random(value: &str) -> bool {
    const SHORTEST: usize = 20;
    let plain =
        |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'/' | b'=' | b'_' | b'-');
    if value.len() < SHORTEST
        || value.len() > MAX_READ
        || !value.bytes().all(plain)
        || is_path(value)
        || is_public(value)
    {
        return false;
    }
    let class = |letter: u8| match letter {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let mut counts = [0usize; 4];
    value.bytes().for_each(|letter| counts[class(letter)] += 1);
    // Names of types begin words with a capital: of two letters that differ in kind only those count that don't.
    let changes = value
        .as_bytes()
        .windows(2)
        .filter(|pair| class(pair[0]) != class(pair[1]) && pair.iter().all(|l| class(*l) < 3))
        .count();
    counts[..3].iter().all(|count| *count > 0) && changes * 3 >= value.len()
}

/// Whether this is base64 of something public: a certificate, a public key.
pub(crate) fn is_public(value: &str) -> bool {
    if value.starts_with("AAAAB3NzaC1")
        || value.starts_with("AAAAC3NzaC1")
        || value.starts_with("AAAAE2VjZHNh")
    {
        return true;
    }
    let head = value.get(..64.min(value.len() / 4 * 4)).unwrap_or_default();
    BASE64_STANDARD.decode(head).is_ok_and(|bytes| {
        bytes.starts_with(b"-----BEGIN CERTIFICATE") || bytes.starts_with(b"-----BEGIN PUBLIC KEY")
    })
}

/// The password in base64 of `user:password`, as `auth` of a registry and basic authentication have it.
pub(crate) fn user_and_password(value: &str) -> Option<String> {
    let text = String::from_utf8(decode_base64(value)?).ok()?;
    let (user, password) = text.split_once(':')?;
    let plain = !user.is_empty() && !text.contains(char::is_control) && !password.is_empty();
    plain.then(|| password.to_owned())
}

/// Standard base64 with padding.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Base64 as an API server reads it: standard, with padding; line breaks are skipped.
pub(crate) fn decode_base64_strict(value: &str) -> Option<Vec<u8>> {
    let letters: String = value.chars().filter(|letter| !matches!(letter, '\n' | '\r')).collect();
    BASE64_STANDARD.decode(letters).ok()
}

/// Base64, standard or for URLs, with or without padding and line breaks.
pub(crate) fn decode_base64(value: &str) -> Option<Vec<u8>> {
    let letters: String = value
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            letter => letter,
        })
        .collect();
    let letters = letters.trim_end_matches('=');
    let padding = ["", "", "==", "="].get(letters.len() % 4).filter(|_| letters.len() % 4 != 1)?;
    BASE64_STANDARD.decode(format!("{letters}{padding}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_references_and_switches_are_no_secrets() {
        for value in [
            "",
            "true",
            "-",
            "****",
            "/etc/wireguard/key",
            "./key",
            "@/run/secrets/x",
            "$(DB_PASSWORD)",
            "${DB_PASSWORD}",
            "{{ .Values.x }}",
            "k.pem",
            "op://vault/item",
            "env:PASS",
        ] {
            assert!(is_harmless(value), "{value}");
        }
        for value in [
            "hunter2",
            "/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "$ecret",
            "$(echo hunter2)",
            "a/b",
            "{{\"x\"}}",
            "/etc pass",
        ] {
            assert!(!is_harmless(value), "{value}");
        }
    }

    #[test]
    fn random_text_is_told_from_names_and_from_digests() {
        for value in ["wJalrXUtnFEMIK7MDENGbPxRfiCY3EX", "q8Xv2LpZ9mRt4WkYs7Bd"] {
            assert!(is_random(value), "{value}");
        }
        for value in [
            "0123456789abcdef0123456789abcdef01234567",
            "ServiceDeploymentVersion2Production",
            "api-server-7d9f8b6c5-x2k4p",
            "LOG_LEVEL",
            "AAAAC3NzaC1lZDI1NTE5AAAAIJx2Ld",
            "/usr/local/Bin2/fooBarBaz3Qux",
        ] {
            assert!(!is_random(value), "{value}");
        }
        assert_eq!(user_and_password("YXBwOmh1bnRlcjI=").as_deref(), Some("hunter2"));
    }
}
