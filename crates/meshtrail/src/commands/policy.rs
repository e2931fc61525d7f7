//! `policy`: may this login be, who could reach what, and what another policy would open and close.

use std::path::Path;

use anyhow::{Context, Result};
use meshtrail_api::policy::{
    AccessChange, DiffAnswer, DiffQuestion, KindChanges, LoginAnswers, LoginDecision, LoginQuestion,
    LoginView, PolicyInForce, ReachAnswer, ReachQuestion, ReachRows,
};
use meshtrail_event::text::visible;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::{ApiArgs, PolicyChoice, PolicyDiff, PolicyExplain, PolicyWhoCouldReach};
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::format_time;

/// The most rules that almost matched that are printed for one login.
const MAX_NEAR: usize = 5;

/// Explains logins.
pub(crate) async fn explain(args: PolicyExplain) -> Result<()> {
    let (at, policy) = read_choice(args.choice)?;
    let question = LoginQuestion { from: args.from, to: args.to, user: Some(args.user), at, policy };
    let Some(answer) = ask::<LoginAnswers>(&args.api, "/api/v1/policy/explain", &question).await? else {
        return Ok(());
    };
    for login in &answer.logins {
        describe_login(login).iter().try_for_each(|line| print_line(&visible(line)))?;
    }
    note_left_off(answer.left_off, "pairs of devices");
    note_policy(&answer.policy, answer.at);
    Ok(())
}

/// Lists who could reach a target.
pub(crate) async fn who_could_reach(args: PolicyWhoCouldReach) -> Result<()> {
    let (at, policy) = read_choice(args.choice)?;
    let question = ReachQuestion { target: args.target, at, policy };
    let Some(answer) = ask::<ReachAnswer>(&args.api, "/api/v1/policy/who-could-reach", &question).await?
    else {
        return Ok(());
    };
    if answer.certain.rows.is_empty() {
        print_note("Nobody, as far as the policy is known.");
    } else {
        print_rows(&answer.certain)?;
    }
    if !answer.possible.rows.is_empty() {
        print_line("")?;
        print_line("Could, if:")?;
        print_rows(&answer.possible)?;
    }
    note_policy(&answer.policy, answer.at);
    Ok(())
}

/// Tells what a policy file would open and close.
pub(crate) async fn diff(args: PolicyDiff) -> Result<()> {
    let question = DiffQuestion { policy: read_file(&args.file)?, at: args.at };
    let Some(answer) = ask::<DiffAnswer>(&args.api, "/api/v1/policy/diff", &question).await? else {
        return Ok(());
    };
    describe_diff(&answer).iter().try_for_each(|line| print_line(&visible(line)))?;
    note_policy(&answer.policy, answer.at);
    Ok(())
}

/// The differences as lines of text.
fn describe_diff(diff: &DiffAnswer) -> Vec<String> {
    let mut lines = vec![meshtrail_event::text::sentence_case(&diff.summary)];
    for (heading, changes) in
        [("Connections", &diff.connections), ("Logins", &diff.logins), ("Capabilities", &diff.capabilities)]
    {
        let found = describe_changes(changes);
        if !found.is_empty() {
            lines.extend([String::new(), heading.to_owned()]);
            lines.extend(found);
        }
    }
    for (heading, entries, left_off) in
        [("Authority", &diff.authority, 0), ("Could, if", &diff.possible, diff.possible_left_off)]
    {
        if !entries.is_empty() {
            lines.extend([String::new(), heading.to_owned()]);
            lines.extend(entries.iter().map(|entry| format!("  {entry}")));
            lines.extend((left_off > 0).then(|| format!("  and {left_off} more")));
        }
    }
    if diff.devices_left_out > 0 {
        lines.extend([
            String::new(),
            format!("{} devices that take no part in the mesh are left out.", diff.devices_left_out),
        ]);
    }
    lines
}

fn describe_changes(changes: &KindChanges) -> Vec<String> {
    let mut lines = Vec::new();
    for (sign, changes, left_off) in
        [('+', &changes.opened, changes.opened_left_off), ('-', &changes.closed, changes.closed_left_off)]
    {
        lines.extend(changes.iter().map(|AccessChange { sentence, pairs, rules }| {
            format!(
                "{sign} {sentence} ({pairs} {}; {})",
                if *pairs == 1 { "pair" } else { "pairs" },
                rules.join(", ")
            )
        }));
        lines.extend((left_off > 0).then(|| format!("{sign} and {left_off} more")));
    }
    lines
}

/// The moment, and the text of the policy file where one is asked.
fn read_choice(choice: PolicyChoice) -> Result<(Option<String>, Option<String>)> {
    Ok((choice.at, choice.policy.as_deref().map(read_file).transpose()?))
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

/// Asks; with `--json` the answer is printed, and `None` returned.
async fn ask<T: DeserializeOwned>(
    args: &ApiArgs,
    path: &str,
    question: &impl Serialize,
) -> Result<Option<T>> {
    let api = Api::open(&args.source).await?;
    let answer: Box<RawValue> = api.post(path, question).await?.read_json(path).await?;
    if args.json {
        print_line(answer.get())?;
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(answer.get())?))
}

/// The answer about one login as lines of text.
fn describe_login(login: &LoginView) -> Vec<String> {
    let verdict = match &login.decision {
        LoginDecision::Accept => "may",
        LoginDecision::Check => "may, once confirmed",
        LoginDecision::Deny => "may not",
        LoginDecision::Other(word) => word,
    };
    let mut lines = vec![format!("{} → {} as {}: {verdict}", login.from, login.to, login.user)];
    match &login.rule {
        Some(rule) => {
            lines.push(format!("  by      {}", rule.name));
            lines.push(format!("          {}", one_line(&rule.text)));
        }
        None => lines.push("  by      no rule is for it".to_owned()),
    }
    lines.extend(login.check_period.map(|seconds| match seconds {
        0 => "  confirm each time".to_owned(),
        _ => format!("  confirm once in {}", duration(seconds)),
    }));
    if !login.recorders.is_empty() {
        let enforced = if login.recording_enforced { ", else the session is refused" } else { "" };
        lines.push(format!("  record  by {}{enforced}", login.recorders.join(", ")));
    }
    lines.push(format!("  packets {}", login.port));
    lines.extend(login.hindrances.iter().map(|why| format!("  but     {why}")));
    for near in login.near.iter().take(MAX_NEAR) {
        let what = if login.rule.is_some() { "also" } else { "almost" };
        lines.push(format!("  {what:7} {}: {}", near.rule.name, near.unmet.join("; ")));
    }
    if login.near.len() > MAX_NEAR {
        lines.push(format!("          and {} more rules", login.near.len() - MAX_NEAR));
    }
    lines
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds % 3600) {
        (hours, 0) if hours > 0 => format!("{hours} h"),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

fn print_rows(rows: &ReachRows) -> Result<()> {
    let mut table = Table::new([
        ("FROM", Fit::Cut(20)),
        ("TO", Fit::Cut(12)),
        ("PORTS", Fit::Cut(8)),
        ("BY", Fit::Cut(10)),
        ("IF", Fit::Cut(10)),
    ]);
    for row in &rows.rows {
        table.row([
            row.source.clone(),
            row.target.clone(),
            row.ports.clone(),
            row.rules.join(", "),
            row.conditions.join(" and "),
        ]);
    }
    table.print()?;
    note_left_off(rows.left_off, "rows");
    Ok(())
}

fn note_left_off(count: usize, what: &str) {
    if count > 0 {
        print_note(&format!("{count} more {what} are left off: ask about less."));
    }
}

fn note_policy(policy: &PolicyInForce, at: meshtrail_event::Timestamp) {
    let plane = &policy.control_plane;
    print_note(&match (&policy.event, policy.since) {
        (Some(event), Some(since)) => format!(
            "As of {}, by the policy that is in force since {} at the latest, read as {plane} does: event {event}.",
            format_time(at),
            format_time(since),
        ),
        _ => format!("As of {}, by the policy file, read as {plane} does.", format_time(at)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_by_what_opened_and_what_closed() {
        let change = |sentence: &str, pairs| AccessChange {
            sentence: sentence.into(),
            pairs,
            rules: vec!["acl rule 2 (line 9)".into()],
        };
        let diff = DiffAnswer {
            at: meshtrail_event::Timestamp::from_nanos(0),
            policy: PolicyInForce { control_plane: "Tailscale".into(), event: None, since: None },
            summary: "1 person gained access to 2 machines".into(),
            connections: KindChanges {
                opened: vec![change("cem@example.com gained tag:db (2 machines): 5432", 2)],
                closed: vec![change("bo@example.com lost web: 22", 1)],
                opened_left_off: 0,
                closed_left_off: 3,
            },
            logins: KindChanges::default(),
            capabilities: KindChanges::default(),
            possible: Vec::new(),
            possible_left_off: 0,
            authority: vec!["cem@example.com may now give tag:db to devices".into()],
            devices_left_out: 0,
        };
        assert_eq!(
            describe_diff(&diff),
            [
                "1 person gained access to 2 machines.",
                "",
                "Connections",
                "+ cem@example.com gained tag:db (2 machines): 5432 (2 pairs; acl rule 2 (line 9))",
                "- bo@example.com lost web: 22 (1 pair; acl rule 2 (line 9))",
                "- and 3 more",
                "",
                "Authority",
                "  cem@example.com may now give tag:db to devices",
            ]
        );
    }

    #[test]
    fn a_login_says_whether_it_may_be_by_which_rule_and_what_almost_matched() {
        let login: LoginView = serde_json::from_str(
            r#"{"from":"laptop of alice@example.com","to":"web (tag:web)","user":"root","decision":"deny",
                "recorders":[],"recording_enforced":false,"port":"port 22 is open, by acl rule 1 (line 2)","hindrances":[],
                "near":[{"rule":{"name":"ssh rule 1 (line 3)","text":"{}"},"open":false,
                         "unmet":["it is for the local users deploy"]}]}"#,
        )
        .unwrap();
        assert_eq!(
            describe_login(&login),
            [
                "laptop of alice@example.com → web (tag:web) as root: may not",
                "  by      no rule is for it",
                "  packets port 22 is open, by acl rule 1 (line 2)",
                "  almost  ssh rule 1 (line 3): it is for the local users deploy",
            ]
        );
        let login = LoginView {
            decision: LoginDecision::Check,
            rule: Some(meshtrail_api::policy::RuleView {
                name: "ssh rule 2 (line 9)".into(),
                text: "{ a:\n  1 }".into(),
            }),
            check_period: Some(12 * 3600),
            recorders: vec!["recorder".into()],
            recording_enforced: true,
            near: Vec::new(),
            ..login
        };
        assert_eq!(
            describe_login(&login)[..5],
            [
                "laptop of alice@example.com → web (tag:web) as root: may, once confirmed",
                "  by      ssh rule 2 (line 9)",
                "          { a: 1 }",
                "  confirm once in 12 h",
                "  record  by recorder, else the session is refused",
            ]
        );
    }
}
