//! The server on this machine, or the one that is named: whether it takes events, and how its sources do.

use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::Check;
use crate::api::Api;
use crate::args::Doctor;
use crate::local;

/// Clocks may differ by this much, in seconds.
const TOLERANCE: u64 = 60;

/// What is known of the server.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) runs: bool,
}

#[derive(Debug, Deserialize)]
struct Health {
    status: String,
    version: String,
    demo: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sources {
    sources: Vec<Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    name: String,
    state: String,
    last_heard: Option<Timestamp>,
    #[serde(default)]
    gaps: u64,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sessions {
    sessions: Vec<Session>,
}

#[derive(Debug, Deserialize)]
struct Session {
    #[serde(default)]
    anomalies: Vec<String>,
    imported_from: Option<String>,
    recorded_by: Option<String>,
}

pub(super) async fn look(doctor: &Doctor, checks: &mut Vec<Check>) -> Server {
    let source = doctor.source();
    let api = match source.named_server() {
        Some(_) => Api::open(source).await.map(Some),
        None => local::running(source).await.map(|remote| remote.map(Api::Remote)),
    };
    let api = match api {
        Ok(Some(api)) => api,
        Ok(None) => {
            let folder = local::folder(source);
            let says = format!("none runs over {}", folder.display());
            checks.push(Check::fail(
                "server",
                says,
                "start `meshtrail serve`, or name its folder with --data DIR",
            ));
            return Server::default();
        }
        Err(error) => {
            checks.push(Check::fail(
                "server",
                format!("{error:#}"),
                "ask as the user it runs as, or give --token",
            ));
            return Server::default();
        }
    };
    health(&api, checks).await;
    sources(&api, checks).await;
    clocks(&api, checks).await;
    Server { runs: true }
}

async fn health(api: &Api, checks: &mut Vec<Check>) {
    match api.get_json::<Health>("/api/v1/health").await {
        Ok(health) if health.demo.is_some() => {
            let next = "start `meshtrail serve` over a folder of its own";
            checks.push(Check::fail("server", "this is a demo: it takes nothing real", next));
        }
        Ok(health) if health.status == "ok" => {
            checks.push(Check::ok("server", format!("{} takes events", health.version)));
        }
        Ok(health) => {
            let says = format!("its trail takes no events: {}", health.status);
            checks.push(Check::fail("server", says, "its log says why; the store below must take segments"));
        }
        Err(error) => checks.push(Check::fail("server", format!("{error:#}"), "its log says why")),
    }
}

async fn sources(api: &Api, checks: &mut Vec<Check>) {
    let listed = match api.get_json::<Sources>("/api/v1/sources").await {
        Ok(listed) => listed.sources,
        Err(error) => {
            checks.push(Check::warn(
                "sources",
                format!("{error:#}"),
                "ask with a token of the role viewer or higher",
            ));
            return;
        }
    };
    if listed.is_empty() {
        let next = "point a policy's recorder here, or set [sources.tailscale] or [sources.headscale] in the configuration";
        checks.push(Check::warn("sources", "none was heard yet", next));
    }
    checks.extend(listed.into_iter().map(one));
}

fn one(source: Source) -> Check {
    let name = &source.name;
    let heard = source.last_heard.map_or_else(|| "never heard".to_owned(), |at| format!("last heard {at}"));
    match (source.state.as_str(), source.trouble) {
        (_, Some(trouble)) => {
            Check::fail("source", format!("{name}: {trouble}"), "`meshtrail sources` shows it as it changes")
        }
        ("silent", None) => Check::fail(
            "source",
            format!("{name} is silent, {heard}"),
            "look whether it still runs and still reaches this server",
        ),
        ("waiting", None) => Check::warn(
            "source",
            format!("{name} was not heard yet"),
            "its first events are on their way, or it does not reach this server",
        ),
        _ if source.gaps > 0 => Check::warn(
            "source",
            format!("{name}: {} gaps in the last thirty days, {heard}", source.gaps),
            format!("meshtrail events query 'kind:meshtrail.source_gap {name}' names what is missing"),
        ),
        _ => Check::ok("source", format!("{name}: {heard}")),
    }
}

/// Nodes say in their headers when a recording began: the newest of them tell whether clocks agree.
async fn clocks(api: &Api, checks: &mut Vec<Check>) {
    let Ok(newest) = api.get_json::<Sessions>("/api/v1/sessions?limit=50").await else { return };
    let witnessed = newest.sessions.iter().filter(|session| session.imported_from.is_none());
    let off = witnessed.clone().find_map(|session| {
        let words = session.anomalies.iter().find(|words| words.starts_with("header.timestamp"))?;
        Some((session.recorded_by.clone().unwrap_or_else(|| "a node".to_owned()), words.clone()))
    });
    checks.push(match (off, witnessed.count()) {
        (Some((node, words)), _) => Check::warn(
            "clocks",
            format!("{node}: {}", words.trim_start_matches("header.timestamp: ")),
            format!("more than {TOLERANCE} s apart: run a time service on both machines"),
        ),
        (None, 0) => Check::warn(
            "recordings",
            "none has arrived yet",
            "paste the policy lines below, then log in to a recorded node by SSH",
        ),
        (None, count) => Check::ok("clocks", format!("agree in the newest {count} recordings")),
    });
}
