//! The words by which a text speaks of a person, each in its time.

use crate::directory::Profile;

/// The shortest part of a login or name that counts.
const MIN_PART: usize = 3;

/// A person's words, in lower case.
pub(crate) struct Words {
    /// Words that mean the person wherever they stand, from and until a time.
    strong: Vec<(String, i64, i64)>,
    /// Words that mean the person in events that are theirs.
    weak: Vec<String>,
    /// Words that meant the person once and mean somebody else at another time.
    logins: Vec<String>,
}

impl Words {
    pub(crate) fn of(person: &Profile) -> Self {
        let lower = |text: &String| text.to_lowercase();
        let (first, removed) = (person.first, person.removed);
        let mut strong: Vec<_> = person.logins.iter().map(|login| (lower(login), first, removed)).collect();
        strong.extend(person.names.iter().map(|name| (lower(name), i64::MIN, i64::MAX)));
        strong.push((lower(&person.id), i64::MIN, i64::MAX));
        strong.extend(person.addresses.iter().map(|(address, from, until)| (lower(address), *from, *until)));
        for (device, from) in &person.devices {
            let label = device.split('.').next().unwrap_or(device);
            strong.push((label.to_lowercase(), *from, i64::MAX));
        }
        let local = person.logins.iter().map(|login| login.split('@').next().unwrap_or(login));
        let parts = local.chain(person.names.iter().map(String::as_str));
        let weak = parts.flat_map(|text| text.split(|character: char| !character.is_alphanumeric()));
        let weak = weak.filter(|part| part.len() >= MIN_PART).map(str::to_lowercase).collect();
        Self { strong, weak, logins: person.logins.iter().map(lower).collect() }
    }

    /// Whether a text of an event at `time` speaks of the person; `is_theirs` says whether the event is the person's.
    pub(crate) fn speak_of(&self, text: &str, time: i64, is_theirs: bool) -> bool {
        let text = text.to_lowercase();
        let in_time = |(_, from, until): &&(String, i64, i64)| (*from..=*until).contains(&time);
        self.strong.iter().filter(in_time).any(|(word, ..)| stands_in(&text, word, true))
            || (is_theirs && self.weak.iter().any(|word| stands_in(&text, word, false)))
    }

    /// Whether a text has a login that was the person's, at any time.
    pub(crate) fn have_login(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.logins.iter().any(|login| stands_in(&text, login, true))
    }
}

/// Whether `word` stands in `text` and is no part of a longer one. A whole word is not continued by `-`, `+`, `_` or, in
/// front of it, by a dot either.
fn stands_in(text: &str, word: &str, whole: bool) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + word.len()..].chars().next();
        let continues = |character: char| character.is_alphanumeric() || (whole && "-+_".contains(character));
        !before.is_some_and(|before| continues(before) || (whole && before == '.'))
            && !behind.is_some_and(continues)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_no_part_of_a_longer_one_and_counts_in_its_time() {
        let person = Profile {
            id: "u7".to_owned(),
            logins: vec!["rowan@example.net".to_owned()],
            names: vec!["Rowan Ash".to_owned()],
            devices: vec![("rowan-laptop.tail.example".to_owned(), 10)],
            addresses: vec![("100.64.0.7".to_owned(), 10, 20)],
            first: 10,
            removed: 30,
        };
        let words = Words::of(&person);
        // Text, time, whether the event is theirs, whether it speaks of them.
        let cases = [
            ("Accepted for rowan@example.net.", 15, false, true),
            ("rowan@example.net was here", 40, false, false),
            ("not.rowan@example.net", 15, false, false),
            ("\u{201c}ROWAN ASH\u{201d}", 40, false, true),
            ("rowan-laptop went", 40, false, true),
            ("rowan-laptop-2 went", 40, false, false),
            ("from 100.64.0.7:22", 15, false, true),
            ("from 100.64.0.77:22", 15, false, false),
            ("from 100.64.0.7:22", 25, false, false),
            ("pods/rowan-debug", 15, true, true),
            ("pods/rowan-debug", 15, false, false),
            ("pods/rowanberry", 15, true, false),
        ];
        for (text, time, is_theirs, expected) in cases {
            assert_eq!(words.speak_of(text, time, is_theirs), expected, "{text} at {time}");
        }
        assert!(words.have_login("rowan@example.net was here"));
    }
}
