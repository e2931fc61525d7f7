//! What lies on this machine: the store, the room for it, secrets that others can read, certificates that end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use meshtrail_collect::config::{SecretPlace, SourcesConfig};
use meshtrail_event::Timestamp;
use meshtrail_server::config::Config;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};

use super::{Check, certificate};
use crate::args::Doctor;
use crate::local;

/// Below this the recorder refuses sessions.
const LEAST_ROOM: u64 = 256 << 20;

/// Below this it soon will.
const LITTLE_ROOM: u64 = 4 << 30;

/// A certificate that ends within this time is told of.
const ENDS_SOON: Duration = Duration::from_secs(21 * 86_400);

pub(super) async fn look(doctor: &Doctor, config: Option<&Config>, runs: bool, checks: &mut Vec<Check>) {
    let folder = local::folder(doctor.source());
    let folder = config.map_or(folder, |config| config.data.clone());
    if let Some(config) = config.filter(|_| !runs) {
        checks.push(store(&config.store).await);
    }
    checks.push(room(&folder));
    checks.extend(admin_token(&folder));
    if let Some(config) = config {
        secrets(&config.sources, checks);
        certificates(&config.sources, Timestamp::now(), checks);
    }
}

/// Asks a store as a server does at its start: one small object is written twice and removed.
async fn store(location: &str) -> Check {
    let next = "a folder must be this user's to write; a bucket needs AWS_* credentials and conditional puts (docs/storage.md)";
    let place: StoreLocation = match location.parse() {
        Ok(place) => place,
        Err(error) => return Check::fail("store", format!("{location}: {error}"), next),
    };
    if let StoreLocation::Folder(folder) = &place
        && !folder.exists()
    {
        return Check::warn("store", format!("{location} is not there yet"), "the first start makes it");
    }
    match Store::open(&place, &WritePolicy::default()).await {
        Ok(_) => Check::ok("store", format!("{location} takes objects, and each only once")),
        Err(error) => Check::fail("store", format!("{location}: {error}"), next),
    }
}

fn room(folder: &Path) -> Check {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let free = rustix::fs::statvfs(existing).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    let shown = existing.display();
    match free {
        Ok(free) if free < LEAST_ROOM => Check::fail(
            "disk",
            format!("{} MiB are free at {shown}: sessions are refused", free >> 20),
            "make room, or set `retention`; 256 MiB are the least",
        ),
        Ok(free) if free < LITTLE_ROOM => {
            let says = format!("{} MiB are free at {shown}", free >> 20);
            Check::warn("disk", says, "below 256 MiB sessions are refused")
        }
        Ok(free) => Check::ok("disk", format!("{} GiB are free at {shown}", free >> 30)),
        Err(error) => Check::warn("disk", format!("{shown} can't be asked: {error}"), "look at it with df"),
    }
}

fn admin_token(folder: &Path) -> Option<Check> {
    let path = folder.join("local/admin-token");
    let mode = std::fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    Some(match mode & 0o077 {
        0 => Check::ok("admin token", "only its owner reads it"),
        _ => Check::fail(
            "admin token",
            format!("{} can be read by others (mode {mode:o})", path.display()),
            "whoever read it is admin here: remove it, and the next start makes a new one",
        ),
    })
}

fn secrets(sources: &SourcesConfig, checks: &mut Vec<Check>) {
    let doors = [("hec", &sources.hec), ("bulk", &sources.bulk), ("webhook", &sources.webhook)];
    let tailscale = sources.tailscale.as_ref().map(|found| ("tailscale", found.credentials.place()));
    let headscale = sources.headscale.as_ref().map(|found| ("headscale", &found.api_key));
    let doors = doors.iter().filter_map(|(name, door)| Some((*name, &door.as_ref()?.token)));
    for (name, place) in tailscale.into_iter().chain(headscale).chain(doors) {
        checks.push(secret(name, place));
    }
}

fn secret(name: &str, place: &SecretPlace) -> Check {
    if let Err(error) = place.read() {
        let next = "write it into the file that the configuration names, for its owner alone";
        return Check::fail("secret", format!("sources.{name}: {error}"), next);
    }
    match place.exposure() {
        Some(exposure) => Check::warn(
            "secret",
            format!("sources.{name}: {exposure}"),
            "and make a new one, if others could have read it",
        ),
        None => Check::ok("secret", format!("sources.{name}: {place} can be read")),
    }
}

fn certificates(sources: &SourcesConfig, now: Timestamp, checks: &mut Vec<Check>) {
    let logtail = sources.logtail.as_ref().and_then(|logtail| Some(("logtail", &logtail.tls.as_ref()?.cert)));
    let doors = [("hec", &sources.hec), ("bulk", &sources.bulk), ("webhook", &sources.webhook)];
    let doors = doors.iter().filter_map(|(name, door)| Some((*name, &door.as_ref()?.tls.as_ref()?.0)));
    for (name, path) in logtail.into_iter().chain(doors) {
        checks.push(ends(name, path, now));
    }
}

fn ends(name: &str, path: &Path, now: Timestamp) -> Check {
    let renew =
        format!("renew it; for logtail `meshtrail setup flow-logs` makes another ({})", path.display());
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let end = read.and_then(|pem| certificate::end(&pem).ok_or_else(|| "it holds no certificate".to_owned()));
    match end {
        Err(why) => Check::fail("certificate", format!("sources.{name}: {}: {why}", path.display()), renew),
        Ok(end) if end <= now => Check::fail("certificate", format!("sources.{name}: ended {end}"), renew),
        Ok(end) if end.since(now) < ENDS_SOON => {
            Check::warn("certificate", format!("sources.{name}: ends {end}"), renew)
        }
        Ok(end) => Check::ok("certificate", format!("sources.{name}: good until {end}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Finding;

    #[tokio::test]
    async fn a_store_is_asked_and_a_folder_that_is_none_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let check = store(folder.path().to_str().unwrap()).await;
        assert_eq!(check.finding, Finding::Ok, "{check:?}");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(store(file.to_str().unwrap()).await.finding, Finding::Fail);
        assert_eq!(store("gopher://x").await.finding, Finding::Fail);
        assert_eq!(store(folder.path().join("later").to_str().unwrap()).await.finding, Finding::Warn);
    }

    #[test]
    fn a_secret_that_is_missing_or_open_to_others_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let place = SecretPlace::File(path.clone());
        assert_eq!(secret("tailscale", &place).finding, Finding::Fail);
        std::fs::write(&path, "tskey-api-x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(secret("tailscale", &place).finding, Finding::Warn);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(secret("tailscale", &place).finding, Finding::Ok);
    }

    #[test]
    fn a_token_that_others_read_fails() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(admin_token(folder.path()), None);
        std::fs::create_dir(folder.path().join("local")).unwrap();
        let path = folder.path().join("local/admin-token");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(admin_token(folder.path()).unwrap().finding, Finding::Fail);
    }
}
