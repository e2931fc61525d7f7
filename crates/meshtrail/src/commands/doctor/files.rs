//! Checks of files on this machine: the store, free disk space, permissions of secrets, expiry of certificates.

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
const MIN_FREE: u64 = 256 << 20;

/// Below this a warning is given.
const LOW_FREE: u64 = 4 << 30;

/// A certificate that expires within this time gives a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(21 * 86_400);

pub(super) async fn check(
    doctor: &Doctor,
    config: Option<&Config>,
    server_is_running: bool,
    checks: &mut Vec<Check>,
) {
    let folder = local::data_folder(doctor.source());
    let folder = config.map_or(folder, |config| config.data.clone());
    if let Some(config) = config.filter(|_| !server_is_running) {
        checks.push(check_store(&config.store).await);
    }
    checks.push(check_disk(&folder));
    checks.extend(check_admin_token(&folder));
    if let Some(config) = config {
        check_secrets(&config.sources, checks);
        check_certificates(&config.sources, Timestamp::now(), checks);
    }
}

/// Probes a store as a server does at its start: one small object is written twice and removed.
async fn check_store(location: &str) -> Check {
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

fn check_disk(folder: &Path) -> Check {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let free = rustix::fs::statvfs(existing).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let shown = existing.display();
    match free {
        Ok(free) if free < MIN_FREE => Check::fail(
            "disk",
            format!("{} MiB are free at {shown}: sessions are refused", free >> 20),
            "make room, or set `retention`; 256 MiB are the least",
        ),
        Ok(free) if free < LOW_FREE => {
            let says = format!("{} MiB are free at {shown}", free >> 20);
            Check::warn("disk", says, "below 256 MiB sessions are refused")
        }
        Ok(free) => Check::ok("disk", format!("{} GiB are free at {shown}", free >> 30)),
        Err(error) => Check::warn("disk", format!("{shown} can't be asked: {error}"), "look at it with df"),
    }
}

fn check_admin_token(folder: &Path) -> Option<Check> {
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

fn check_secrets(sources: &SourcesConfig, checks: &mut Vec<Check>) {
    let SourcesConfig { receivers, .. } = sources;
    let guarded = [("hec", &receivers.hec), ("bulk", &receivers.bulk), ("webhook", &receivers.webhook)];
    let tailscale = sources.tailscale.as_ref().map(|tailscale| ("tailscale", tailscale.credentials.place()));
    let headscale = sources.headscale.as_ref().map(|headscale| ("headscale", &headscale.api_key));
    let guarded = guarded.iter().filter_map(|(name, receiver)| Some((*name, &receiver.as_ref()?.token)));
    for (name, place) in tailscale.into_iter().chain(headscale).chain(guarded) {
        checks.push(check_secret(name, place));
    }
}

fn check_secret(name: &str, place: &SecretPlace) -> Check {
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

fn check_certificates(sources: &SourcesConfig, now: Timestamp, checks: &mut Vec<Check>) {
    let SourcesConfig { receivers, .. } = sources;
    let logtail =
        receivers.logtail.as_ref().and_then(|logtail| Some(("logtail", &logtail.tls.as_ref()?.cert)));
    let guarded = [("hec", &receivers.hec), ("bulk", &receivers.bulk), ("webhook", &receivers.webhook)];
    let guarded =
        guarded.iter().filter_map(|(name, receiver)| Some((*name, &receiver.as_ref()?.tls.as_ref()?.0)));
    for (name, path) in logtail.into_iter().chain(guarded) {
        checks.push(check_certificate(name, path, now));
    }
}

fn check_certificate(name: &str, path: &Path, now: Timestamp) -> Check {
    let renew =
        format!("renew it; for logtail `meshtrail setup flow-logs` makes another ({})", path.display());
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let end =
        read.and_then(|pem| certificate::expiry(&pem).ok_or_else(|| "it holds no certificate".to_owned()));
    match end {
        Err(why) => Check::fail("certificate", format!("sources.{name}: {}: {why}", path.display()), renew),
        Ok(end) if end <= now => Check::fail("certificate", format!("sources.{name}: ended {end}"), renew),
        Ok(end) if end.since(now) < EXPIRES_SOON => {
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
        let check = check_store(folder.path().to_str().unwrap()).await;
        assert_eq!(check.finding, Finding::Ok, "{check:?}");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(check_store(file.to_str().unwrap()).await.finding, Finding::Fail);
        assert_eq!(check_store("gopher://x").await.finding, Finding::Fail);
        assert_eq!(check_store(folder.path().join("later").to_str().unwrap()).await.finding, Finding::Warn);
    }

    #[test]
    fn a_secret_that_is_missing_or_open_to_others_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let place = SecretPlace::File(path.clone());
        assert_eq!(check_secret("tailscale", &place).finding, Finding::Fail);
        std::fs::write(&path, "tskey-api-x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(check_secret("tailscale", &place).finding, Finding::Warn);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(check_secret("tailscale", &place).finding, Finding::Ok);
    }

    #[test]
    fn a_token_that_others_read_fails() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check_admin_token(folder.path()), None);
        std::fs::create_dir(folder.path().join("local")).unwrap();
        let path = folder.path().join("local/admin-token");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(check_admin_token(folder.path()).unwrap().finding, Finding::Fail);
    }
}
