//! Whether a name (of an option, a variable, a member, a header, a query parameter) says that its value is a secret.
//!
//! A name is cut into words: at what is no letter or digit, and at a capital after a small letter. `dbPassword`,
//! `DB_PASSWORD` and `db.password` are the same words. The last word that stands for a secret decides, unless a word after
//! it says that the value is about the secret and not the secret (`token_file`, `secretName`, `passwordPolicy`).

/// What a name says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// The value is a secret.
    Secret,
    /// The value may be a secret: `auth`, `key`. It is one if it looks like one.
    Possible,
    /// Nothing.
    None,
}

/// The longest part of a name that is looked at, from its end.
const MAX_NAME: usize = 128;

/// Words that stand for a secret.
const SECRETS: &str = "\
    accesskey accountkey apikey apitoken authkey authorization authtoken bearer cookie cookies cred \
    credential credentials creds encryptionkey jwt masterauth masterkey mnemonic otp pass passcode \
    passin passkey passout passphrase passwd password passwords passwort pat pin pincode presharedkey \
    privatekey privkey psk pw pwd secret secretkey secrets sharedkey signingkey token tokens totp \
    userpass";

/// Words that end like this stand for a secret as well: `pgpassword`, `requirepass`, `authtoken`.
const SECRET_ENDINGS: &str = "apikey pass passcode passphrase passwd password pwd secret token";

/// Words that end like a secret and are none.
const OTHER_ENDINGS: &str = "bypass compass encompass multipass oldpwd overpass surpass underpass";

/// `… key` after one of these is a secret.
const KEYS: &str = "\
    access account admin api auth cipher consumer crypto decryption deploy encryption hmac jwt license \
    master preauth presharedkey private root secret service session shared sign signing storage \
    subscription unseal wep wpa";

/// `… code` after one of these is a secret.
const CODES: &str = "activation auth authorization backup mfa otp recovery security verification";

/// `pass` after one of these is none.
const PASSES: &str = "by fastcgi first grpc multi one proxy second single two uwsgi";

/// After a word for a secret: the value is about the secret.
const ABOUT: &str = "\
    age alg algo algorithm arn at attempts audience audiences ca cert certificate class count created \
    dir domain enabled encoding endpoint env exp expiration expires expiry fd field file files folder \
    format header helper hint history host httponly interval issuer jar kind len length lifetime limit \
    manager max method min mode mount name names namespace path paths policies policy port prefix \
    projection prompt provider ref reference refs region renew required retries review reviews rotation \
    samesite scope scopes seconds secure selector server size source sources stdin storage store \
    strength suffix template through time timeout timestamp ttl type types uri url urls usage user \
    username version visible";

/// Before a word for a secret: the name is a switch, or a number.
const SWITCHES: &str = "\
    allow ask automount disable enable existing generate has hide image is max min needs no num print \
    prompt require requires rotate show skip use verify with without";

/// Names of query parameters that are a secret in URLs and nowhere else: signed URLs, OAuth.
const QUERY: &str = "assertion auth hapikey sas sessionid sid sig signature xamzsignature xgoogsignature";

/// Every word that [`classify`] looks for has one of these in it: most names have none and are done.
const STEMS: &str =
    "auth bearer code cookie cred hash jwt key mnemonic otp pass pat pin psk pw secret signature token";

fn has_stem(name: &str) -> bool {
    let bytes = name.as_bytes();
    let begins = |at: usize, stem: &str| {
        bytes.get(at..at + stem.len()).is_some_and(|part| part.eq_ignore_ascii_case(stem.as_bytes()))
    };
    let may_begin = |at: &usize| b"abchjkmopstABCHJKMOPST".contains(&bytes[*at]);
    (0..bytes.len()).filter(may_begin).any(|at| STEMS.split(' ').any(|stem| begins(at, stem)))
}

/// Whether a list of words has this one.
fn lists(words: &str, word: &str) -> bool {
    words.split(' ').any(|listed| listed == word)
}

/// What `name` says of its value.
pub(crate) fn classify(name: &str) -> Secrecy {
    if !has_stem(name) {
        return Secrecy::None;
    }
    let start = name.len().saturating_sub(MAX_NAME);
    let start = (start..name.len()).find(|at| name.is_char_boundary(*at)).unwrap_or(name.len());
    let words = words(&name[start..]);
    if name == "PWD" || words.first().is_some_and(|first| lists(SWITCHES, first)) {
        return Secrecy::None;
    }
    let Some(at) = words.iter().enumerate().rposition(|(at, word)| stands_for_secret(&words[..at], word))
    else {
        let possible =
            words.last().is_some_and(|last| matches!(last.as_str(), "auth" | "key" | "signature" | "hash"));
        return if possible { Secrecy::Possible } else { Secrecy::None };
    };
    let key_id = words[at + 1..].first().is_some_and(|next| next == "id") && words[at] != "secret";
    if key_id || words[at + 1..].iter().any(|word| lists(ABOUT, word)) {
        return Secrecy::None;
    }
    Secrecy::Secret
}

/// What the name of a URL's query parameter says of its value.
pub(crate) fn classify_query(name: &str) -> Secrecy {
    let letters: String = name
        .chars()
        .take(MAX_NAME)
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    if lists(QUERY, &letters) {
        return Secrecy::Secret;
    }
    match classify(name) {
        Secrecy::None if letters == "code" => Secrecy::Possible,
        secrecy => secrecy,
    }
}

/// Whether the value is a number of tokens and the like, and no secret.
pub(crate) fn is_count(name: &str, value: &str) -> bool {
    name.ends_with(['s', 'S']) && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn stands_for_secret(before: &[String], word: &str) -> bool {
    let previous = before.last().map(String::as_str).unwrap_or_default();
    match word {
        "key" | "keys" => lists(KEYS, previous),
        // `client-key-data` of a kubeconfig.
        "data" => previous == "key" && !before.iter().any(|word| word == "public"),
        "code" => lists(CODES, previous),
        "pass" => !lists(PASSES, previous),
        _ if lists(SECRETS, word) => true,
        _ if lists(OTHER_ENDINGS, word) => false,
        _ => SECRET_ENDINGS.split(' ').any(|ending| word.ends_with(ending)),
    }
}

/// The words of a name in lower case, without digits at their ends.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let previous = at.checked_sub(1).map(|before| letters[before]);
        let next = letters.get(at + 1);
        let begins = letter.is_uppercase()
            && (previous.is_some_and(|previous| previous.is_lowercase() || previous.is_ascii_digit())
                || previous.is_some_and(char::is_uppercase) && next.is_some_and(|next| next.is_lowercase()));
        if !letter.is_alphanumeric() || begins {
            push_word(&mut words, &mut word);
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
    }
    push_word(&mut words, &mut word);
    words
}

fn push_word(words: &mut Vec<String>, word: &mut String) {
    let trimmed = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if !trimmed.is_empty() {
        words.push(trimmed.to_owned());
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_for_a_secret_has_a_stem() {
        let words = SECRETS.split(' ').chain(SECRET_ENDINGS.split(' '));
        for word in words.chain(["key", "code", "auth", "hash", "signature"]) {
            assert!(has_stem(word) && has_stem(&word.to_uppercase()), "{word}");
        }
    }

    #[test]
    fn names_of_secrets_are_found_however_their_words_are_joined() {
        let names = "\
            password DB_PASSWORD dbPassword db.password PGPASSWORD MYSQL_PWD pass DB_PASS requirepass \
            api-key apiKey APIKEY X-Api-Key aws_secret_access_key client_secret clientSecret authkey \
            private-key privateKey Authorization Cookie token _authToken spring.datasource.password \
            client-key-data new_password2 TOKEN_PROD secret_id PIN verification_code storePass passin \
            SECRET wifi-sec.psk HTTPToken github_pat tokens unseal_key PASSWORD_RESET_TOKEN";
        for name in names.split(' ') {
            assert_eq!(classify(name), Secrecy::Secret, "{name}");
        }
    }

    #[test]
    fn names_about_secrets_are_not_taken_for_one() {
        let names = "\
            token_file secretName secretKeyRef passwordPolicy TOKEN_TTL PWD OLDPWD compass proxy_pass \
            access_key_id no-password ask-pass max_tokens automountServiceAccountToken public_key \
            primaryKey publicKeyData host author keyboard pipeline partition-key tokenizer \
            certificate-authority-data pinned passthrough password-stdin existingSecret \
            imagePullSecrets listen";
        for name in names.split(' ') {
            assert_ne!(classify(name), Secrecy::Secret, "{name}");
        }
        assert_eq!(classify("auth"), Secrecy::Possible);
        assert_eq!((classify("sig"), classify_query("sig")), (Secrecy::None, Secrecy::Secret));
        assert_eq!(classify_query("X-Amz-Signature"), Secrecy::Secret);
    }
}
