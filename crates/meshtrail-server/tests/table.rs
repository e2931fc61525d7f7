//! The route table as outsiders see it: roles × routes, and the API's description, as checked-in files.
//!
//! `MESHTRAIL_BLESS=1 cargo test -p meshtrail-server --test table` writes them anew; the difference is for review.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;

use meshtrail_server::auth::{Capability, Role};
use meshtrail_server::routes;

fn compare(golden: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
    if std::env::var_os("MESHTRAIL_BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept != now {
        let differs = kept.lines().zip(now.lines()).find(|(kept, now)| kept != now);
        panic!(
            "{} is not what the routes say; first difference: {differs:?}. MESHTRAIL_BLESS=1 writes it anew",
            path.display()
        );
    }
}

#[test]
fn roles_and_routes_are_as_reviewed() {
    let mut rows: Vec<String> = routes::table()
        .iter()
        .map(|route| {
            let may = |role: Role| if role.may(route.needs) { "yes" } else { "-" };
            let stranger = if route.needs == Capability::Open { "yes" } else { "-" };
            let [sender, viewer, auditor, admin] = Role::ALL.map(may);
            let (method, path, needs) = (route.method.as_str(), &route.path, route.needs.name());
            let row = format!(
                "{method:<7} {path:<40} {needs:<11} {stranger:<9} {sender:<7} {viewer:<7} {auditor:<8} {admin}"
            );
            row.trim_end().to_owned()
        })
        .collect();
    rows.sort_by_key(|row| row.split_whitespace().nth(1).unwrap().to_owned());
    let heading = format!(
        "{:<7} {:<40} {:<11} {:<9} {:<7} {:<7} {:<8} {}\n",
        "METHOD", "PATH", "NEEDS", "STRANGER", "SENDER", "VIEWER", "AUDITOR", "ADMIN"
    );
    compare("tests/golden/routes.txt", &(heading + &rows.join("\n") + "\n"));
}

#[test]
fn the_checked_in_description_is_the_one_that_is_served() {
    let now = serde_json::to_string_pretty(&routes::openapi()).unwrap() + "\n";
    compare("../../docs/openapi.json", &now);
}

#[test]
fn every_route_of_the_api_is_described() {
    let described = routes::openapi().paths.paths;
    for route in routes::table().iter().filter(|route| route.path.starts_with("/api/v1/")) {
        let path = route.path.replace("{*", "{");
        assert!(described.contains_key(&path), "{path} is not in the API's description");
    }
}

#[test]
fn no_route_is_there_twice() {
    let mut seen = std::collections::HashSet::new();
    for route in routes::table() {
        assert!(
            seen.insert((route.method.clone(), route.path.clone())),
            "{} {} twice",
            route.method,
            route.path
        );
    }
}
