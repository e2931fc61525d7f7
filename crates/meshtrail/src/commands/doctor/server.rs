//! Checks of the server on this machine, or of the named one: whether it accepts events, and the state of its sources.

use meshtrail_api::client::path;
use meshtrail_api::health::Health;
use meshtrail_api::sessions::{SessionsPage, SessionsQuery};
use meshtrail_api::sources::{SourceList, SourceState, SourceView, UnseenView};

use super::Check;
use crate::api::Api;
use crate::args::Doctor;
use crate::local;

/// How much clocks may differ, in seconds.
const TOLERANCE: u64 = 60;

/// A file that systemd's time service creates once it has set the clock.
const TIME_SET: &str = "/run/systemd/timesync/synchronized";

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) is_running: bool,
}

pub(super) async fn check(doctor: &Doctor, checks: &mut Vec<Check>) -> Server {
    let source = doctor.source();
    let api = match source.named_server() {
        Some(_) => Api::open(source).await.map(Some),
        None => local::running_server(source).await.map(|remote| remote.map(Api::Remote)),
    };
    let api = match api {
        Ok(Some(api)) => api,
        Ok(None) => {
            let folder = local::data_folder(source);
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
    check_health(&api, checks).await;
    check_sources(&api, checks).await;
    check_node_clocks(&api, checks).await;
    Server { is_running: true }
}

async fn check_health(api: &Api, checks: &mut Vec<Check>) {
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

async fn check_sources(api: &Api, checks: &mut Vec<Check>) {
    let listed = match api.get_json::<SourceList>("/api/v1/sources").await {
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
    checks.push(check_clock(&listed, std::path::Path::new(TIME_SET).exists()));
    checks.extend(listed.into_iter().map(check_source));
}

/// Checks the server's clock against those of control planes, which send their time with each response.
fn check_clock(sources: &[SourceView], is_set: bool) -> Check {
    let offsets = sources.iter().filter_map(|source| Some((source.name.as_str(), source.clock_ahead_ms?)));
    let Some((name, ahead)) = offsets.max_by_key(|(_, ahead)| ahead.unsigned_abs()) else {
        return match is_set {
            true => Check::ok("clock", "a time service has set this machine's clock"),
            false => Check::warn(
                "clock",
                "no control plane is asked that would tell whether the server's clock is right",
                "`timedatectl` or `chronyc tracking` on its machine says whether a time service sets it",
            ),
        };
    };
    let (seconds, millis) = (ahead.unsigned_abs() / 1_000, ahead.unsigned_abs() % 1_000);
    let which = if ahead > 0 { "behind" } else { "ahead of" };
    let says = format!("the server's clock is {seconds}.{:01} s {which} that of {name}", millis / 100);
    let next =
        "run a time service on its machine: times of events, tokens and webhooks' signatures depend on it";
    match seconds {
        0..2 => Check::ok("clock", format!("the server's clock agrees with {name}'s within 2 s")),
        2..=TOLERANCE => Check::warn("clock", says, next),
        _ => Check::fail("clock", says, next),
    }
}

fn check_source(source: SourceView) -> Check {
    let name = &source.name;
    let heard = source.last_heard.map_or_else(|| "never heard".to_owned(), |at| format!("last heard {at}"));
    match (&source.state, source.trouble) {
        (_, Some(trouble)) => {
            Check::fail("source", format!("{name}: {trouble}"), "`meshtrail sources` shows it as it changes")
        }
        // A part that was never visible is missing from the plan, or not requested.
        (SourceState::Connected, None) if source.unseen.iter().any(|unseen| unseen.since.is_some()) => {
            let lost: Vec<&UnseenView> =
                source.unseen.iter().filter(|unseen| unseen.since.is_some()).collect();
            let parts: Vec<&str> = lost.iter().map(|unseen| unseen.part.as_str()).collect();
            let says = format!("{name}: not visible any more: {}", parts.join(", "));
            Check::warn("source", says, lost[0].reason.clone())
        }
        (SourceState::Silent, None) => Check::fail(
            "source",
            format!("{name} is silent, {heard}"),
            "look whether it still runs and still reaches this server",
        ),
        (SourceState::Waiting, None) => Check::warn(
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

/// Checks the clocks of nodes: the header of a recording has its start by the node's clock.
async fn check_node_clocks(api: &Api, checks: &mut Vec<Check>) {
    let query = SessionsQuery { limit: Some(50), ..SessionsQuery::default() };
    let newest = api.get_json::<SessionsPage>(&path("/api/v1/sessions", &query)).await;
    let Ok(newest) = newest else { return };
    let recorded = newest.sessions.iter().filter(|session| session.imported_from.is_none());
    let deviation = recorded.clone().find_map(|session| {
        let words = session.anomalies.iter().find(|words| words.starts_with("header.timestamp"))?;
        Some((session.recorded_by.clone().unwrap_or_else(|| "a node".to_owned()), words.clone()))
    });
    checks.push(match (deviation, recorded.count()) {
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

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    fn source(name: &str, clock_ahead_ms: Option<i64>) -> SourceView {
        let value = serde_json::json!({
            "name": name, "state": "connected", "clock_ahead_ms": clock_ahead_ms, "events": 0, "rate": 0.0, "gaps": 0
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_clock_that_differs_most_is_said_with_how_far() {
        let sources =
            [source("recorder", None), source("headscale", Some(0)), source("other", Some(-75_300))];
        let check = check_clock(&sources, true);
        assert_eq!(check.finding, Finding::Fail);
        assert_eq!(check.says, "the server's clock is 75.3 s ahead of that of other");
        let check = check_clock(&sources[..2], false);
        assert_eq!((check.finding, check.says.contains("headscale")), (Finding::Ok, true));
        assert_eq!(check_clock(&[source("headscale", Some(5_000))], true).finding, Finding::Warn);
    }

    #[test]
    fn without_a_control_plane_only_a_time_service_vouches_for_the_clock() {
        assert_eq!(check_clock(&[source("recorder", None)], true).finding, Finding::Ok);
        let check = check_clock(&[], false);
        assert_eq!(check.finding, Finding::Warn);
        assert!(check.next.unwrap().contains("timedatectl"));
    }
}
