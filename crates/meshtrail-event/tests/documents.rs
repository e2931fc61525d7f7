//! What docs/ says of the model is what the model says.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;

use meshtrail_event::rule::RULES;
use meshtrail_event::{Column, Family, Whose};

fn read(document: &str) -> String {
    std::fs::read_to_string(format!("{}/../../docs/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

fn whose(column: &Column) -> &'static str {
    match column.personal.whose {
        None => "–",
        Some(Whose::Actor) => "actor",
        Some(Whose::Target) => "target",
        Some(Whose::ActorDevice) => "actor's device",
        Some(Whose::TargetDevice) => "target's device",
        Some(Whose::Holder) => "holder",
        Some(Whose::HolderOrActor) => "holder or actor",
        Some(Whose::TargetType) => "target's type",
        Some(Whose::Session) => "session",
        Some(Whose::Likely) => "likely",
        Some(Whose::SubjectType) => "subject's type",
    }
}

/// What docs/erasure.md says of each column, by the heading of its table and the column's name.
fn documented_columns() -> BTreeMap<(String, String), (String, String, bool)> {
    let (mut documented, mut heading) = (BTreeMap::new(), String::new());
    for line in read("erasure.md").lines() {
        if let Some(title) = line.strip_prefix("### ") {
            title.trim_matches('`').clone_into(&mut heading);
        }
        let Some(row) = cells(line).filter(|row| row.len() >= 4 && row[0].starts_with('`')) else { continue };
        for name in row[0].split('`').skip(1).step_by(2) {
            let answers = (row[1].to_owned(), row[2].to_owned(), row[3] != "–");
            documented.insert((heading.clone(), name.to_owned()), answers);
        }
    }
    documented
}

#[test]
fn whose_personal_data_a_column_holds_is_documented_as_the_layout_says() {
    let documented = documented_columns();
    for family in Family::ALL {
        for column in &family.layout().columns {
            let heading = if column.path[0] == "detail" { family.as_str() } else { "Every family" };
            let said = documented.get(&(heading.to_owned(), column.name.clone()));
            let expected = (
                format!("{:?}", column.column_type),
                whose(column).to_owned(),
                column.personal.may_name_anybody,
            );
            assert_eq!(said, Some(&expected), "{heading}: {}", column.name);
        }
    }
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
