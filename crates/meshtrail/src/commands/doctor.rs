//! `doctor`: checks what prevents recordings and events from arriving, and says what to do next.
//!
//! Nothing is changed, and nothing outside this machine and its tailnet is contacted. If no server runs on this machine,
//! the store is probed as a server does at its start.

mod certificate;
mod files;
mod node;
mod policy;
mod server;

use std::process::ExitCode;

use anyhow::Result;
use meshtrail_event::text::visible;
use meshtrail_server::config::{Config, Overrides};
use serde::Serialize;

use crate::args::Doctor;
use crate::output::print_line;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding {
    Ok,
    Warn,
    Fail,
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    finding: Finding,
    what: &'static str,
    says: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    fn ok(what: &'static str, says: impl Into<String>) -> Check {
        Check { finding: Finding::Ok, what, says: says.into(), next: None }
    }

    fn warn(what: &'static str, says: impl Into<String>, next: impl Into<String>) -> Check {
        Check { finding: Finding::Warn, what, says: says.into(), next: Some(next.into()) }
    }

    fn fail(what: &'static str, says: impl Into<String>, next: impl Into<String>) -> Check {
        Check { finding: Finding::Fail, what, says: says.into(), next: Some(next.into()) }
    }
}

/// Runs all checks and prints their results.
pub(crate) async fn run(doctor: Doctor) -> Result<ExitCode> {
    let (config, mut checks) = load_config(&doctor);
    let server = server::check(&doctor, &mut checks).await;
    let node = node::check(&doctor, config.as_ref(), &mut checks).await;
    files::check(&doctor, config.as_ref(), server.is_running, &mut checks).await;
    let lines = policy::policy_lines(&doctor.recorder_tag, &node);
    if doctor.api.json {
        let report = serde_json::json!({ "checks": checks, "policy": lines });
        print_line(&report.to_string())?;
    } else {
        for check in &checks {
            print_check(check)?;
        }
        print_line("")?;
        print_line("Policy lines to paste:")?;
        for part in &lines {
            print_line("")?;
            print_line(&format!("  {}", part.for_what))?;
            for text in part.text.lines() {
                print_line(&format!("    {text}"))?;
            }
        }
    }
    let worst = checks.iter().map(|check| check.finding).max();
    Ok(if worst == Some(Finding::Fail) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_check(check: &Check) -> std::io::Result<()> {
    let word = match check.finding {
        Finding::Ok => "ok  ",
        Finding::Warn => "warn",
        Finding::Fail => "FAIL",
    };
    print_line(&format!("{word}  {:<16} {}", check.what, visible(&check.says)))?;
    match &check.next {
        Some(next) => print_line(&format!("      {:<16} → {}", "", visible(next))),
        None => Ok(()),
    }
}

/// Loads the configuration that the server is started with, as far as the arguments name it.
fn load_config(doctor: &Doctor) -> (Option<Config>, Vec<Check>) {
    let source = doctor.source();
    let overrides = Overrides {
        store: source.store.clone(),
        data: source.data.clone(),
        tailscale_socket: doctor.tailscale_socket.clone(),
        recorder_listen: doctor.recorder_listen.clone(),
        ..Overrides::default()
    };
    let file = doctor.config.as_deref();
    match Config::load(file, overrides) {
        Ok(config) => {
            let check =
                file.map(|file| Check::ok("configuration", format!("{} is understood", file.display())));
            (Some(config), check.into_iter().collect())
        }
        Err(error) => {
            let next = "the server will not start with it; docs/configuration.md names every key";
            (None, vec![Check::fail("configuration", error.to_string(), next)])
        }
    }
}
