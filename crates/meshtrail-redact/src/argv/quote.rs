//! A list of arguments as text that a shell reads back as the same list.

/// The arguments, quoted where a POSIX shell needs it and apart by blanks.
pub fn shell_text<S: AsRef<str>>(argv: &[S]) -> String {
    let quoted: Vec<String> = argv.iter().map(|argument| quote(argument.as_ref())).collect();
    quoted.join(" ")
}

fn quote(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(shell_text(&["sh", "-c", "echo \"a  b\"; exit 3"]), "sh -c 'echo \"a  b\"; exit 3'");
        assert_eq!(
            shell_text(&["", "x+y", "line1\nline2", "ünï", "%41", "it's"]),
            "'' x+y 'line1\nline2' 'ünï' %41 'it'\"'\"'s'"
        );
        assert_eq!(shell_text::<&str>(&[]), "");
    }
}
