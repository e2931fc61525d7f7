//! What docs/ says of the model is what the model says.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use meshtrail_event::rule::RULES;

fn read(document: &str) -> String {
    std::fs::read_to_string(format!("{}/../../docs/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(inside.split(" | ").map(str::trim).collect())
}

#[test]
fn every_rule_is_documented_with_its_severity_title_and_what_it_does_not_prove() {
    let document = read("findings.md");
    let after = document.split_once("## The rules").unwrap().1;
    let rows: Vec<_> = after.lines().filter_map(cells).filter(|row| row[0].contains('.')).skip(1).collect();
    let documented: Vec<_> = rows.iter().map(|row| (row[0], row[1], row[2], row[row.len() - 1])).collect();
    let names: Vec<_> = RULES.iter().map(|rule| format!("`{}`", rule.name)).collect();
    let expected: Vec<_> = RULES
        .iter()
        .zip(&names)
        .map(|(rule, name)| (name.as_str(), rule.severity.as_str(), rule.title, rule.does_not_prove))
        .collect();
    assert_eq!(documented, expected);
}
