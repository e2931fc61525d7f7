//! `doctor`: what still keeps recordings and events from arriving, line by line, with what to do next.
//!
//! Only questions are asked: nothing is changed, and nothing outside this machine and its tailnet is reached. The store
//! of a machine without a running server is asked as a server does at its start.

mod certificate;
mod files;
mod node;
mod policy;
mod server;

use std::process::ExitCode;

use anyhow::Result;
use meshtrail_event::text::visible;
use meshtrail_server::config::{Config, Overlay};
use serde::Serialize;

use crate::args::Doctor;
use crate::output::line;

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
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

/// Looks at everything and says how it is.
pub(crate) async fn run(doctor: Doctor) -> Result<ExitCode> {
    let (config, mut checks) = configuration(&doctor);
    let server = server::look(&doctor, &mut checks).await;
    let node = node::look(&doctor, config.as_ref(), &mut checks).await;
    files::look(&doctor, config.as_ref(), server.runs, &mut checks).await;
    let lines = policy::lines(&doctor.recorder_tag, &node);
    if doctor.asking.json {
        let told = serde_json::json!({ "checks": checks, "policy": lines });
        line(&told.to_string())?;
    } else {
        for check in &checks {
            tell(check)?;
        }
        line("")?;
        line("Policy lines to paste:")?;
        for part in &lines {
            line("")?;
            line(&format!("  {}", part.for_what))?;
            for text in part.text.lines() {
                line(&format!("    {text}"))?;
            }
        }
    }
    let worst = checks.iter().map(|check| check.finding).max();
    Ok(if worst == Some(Finding::Fail) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(check: &Check) -> std::io::Result<()> {
    let word = match check.finding {
        Finding::Ok => "ok  ",
        Finding::Warn => "warn",
        Finding::Fail => "FAIL",
    };
    line(&format!("{word}  {:<16} {}", check.what, visible(&check.says)))?;
    match &check.next {
        Some(next) => line(&format!("      {:<16} → {}", "", visible(next))),
        None => Ok(()),
    }
}

/// The configuration that the server is started with, as far as it is told.
fn configuration(doctor: &Doctor) -> (Option<Config>, Vec<Check>) {
    let source = doctor.source();
    let overlay = Overlay {
        store: source.store.clone(),
        data: source.data.clone(),
        tailscale_socket: doctor.tailscale_socket.clone(),
        recorder_listen: doctor.recorder_listen.clone(),
        ..Overlay::default()
    };
    let file = doctor.config.as_deref();
    match Config::load(file, overlay) {
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
