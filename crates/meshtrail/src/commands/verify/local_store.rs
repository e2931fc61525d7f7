//! `verify --all`: the store itself, every event and every recording, without any server.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use meshtrail_api::client::path;
use meshtrail_api::sessions::{SessionsPage, SessionsQuery};
use meshtrail_event::{EventId, SessionId};
use meshtrail_recording::seal::inspect;
use meshtrail_server::serve::discovery::DiscoveryFile;
use meshtrail_trail::store::{Key, Store, StoreLocation, TamperingKind};
use meshtrail_trail::verify::{Progress, Report, Scope, VerifyRequest, verify};

use super::findings::Findings;
use super::unreferenced::UnreferencedObjects;
use super::{PAGE, via_api};
use crate::api::Api;
use crate::args::{ApiSource, Verify};
use crate::local;
use crate::output::print_note;

/// Checks everything.
pub(crate) async fn check(
    source: &ApiSource,
    vkey: Option<&str>,
    older: Option<String>,
    findings: &mut Findings,
) -> Result<()> {
    if source.named_server().is_some() {
        bail!(
            "--all reads the store itself: run it where the store can be reached, with --store in place of --server"
        );
    }
    let local_store = LocalStore::find(source)?;
    let report = local_store.verify(Scope::All, vkey, older.into_iter().collect()).await?;
    if report.problems.is_empty() {
        let checked = report.checked;
        let root = report.head.as_ref().map_or_else(String::new, |head| format!(", root {}", head.root));
        let finding = format!(
            "{} events in {} segments, {} manifests, {} tiles and {} checkpoints agree{root}",
            checked.events, checked.segments, checked.manifests, checked.tiles, checked.checkpoints
        );
        findings.add(&format!("trail {}", local_store.trail), true, &finding)?;
    }
    report_problems(&report, findings)?;
    check_recordings(&local_store, findings).await
}

/// Checks events, sessions and an older checkpoint against a store, its log included.
pub(crate) async fn check_ids(
    api: &Api,
    verify: &Verify,
    older: Option<String>,
    findings: &mut Findings,
) -> Result<()> {
    let local_store = LocalStore::find(&verify.api.source)?;
    let vkey = verify.vkey.as_deref();
    if let Some(older) = older {
        let report = local_store.verify(Scope::Indices(0..0), vkey, vec![older]).await?;
        if report.holds() {
            findings.add("older checkpoint", true, "its events are the first of this trail's")?;
        }
        report_problems(&report, findings)?;
    }
    for id in &verify.ids {
        let (event, session) = match id.parse::<SessionId>() {
            Ok(session) => {
                let view = via_api::fetch_session(api, &session).await?;
                (view.event.clone(), Some((session, view)))
            }
            Err(_) => (Some(id.parse::<EventId>()?), None),
        };
        if let Some(event) = event {
            let report = local_store.verify(Scope::Event(event.clone()), vkey, Vec::new()).await?;
            if report.holds() {
                let place = report.found.map_or_else(String::new, |index| format!(" at index {index}"));
                findings.add(&format!("event {event}"), true, &format!("in the trail{place}"))?;
            }
            report_problems(&report, findings)?;
        }
        if let Some((session, view)) = session {
            if view.event.is_some()
                && let Err(error) =
                    inspect(&local_store.open().await?, &session, view.index_sha256.as_deref()).await
            {
                let finding = format!("{:#}", anyhow::Error::new(error));
                findings.add(&format!("session {session}"), false, &finding)?;
                continue;
            }
            via_api::check_session(api, &session, None, findings).await?;
        }
    }
    Ok(())
}

fn report_problems(report: &Report, findings: &mut Findings) -> Result<()> {
    for problem in &report.problems {
        findings.add(&problem.object, false, &problem.what.to_string())?;
    }
    for remark in &report.notes {
        print_note(&format!("Note: {remark}"));
    }
    Ok(())
}

/// A store, the machine-local folder that belongs to it, and the trail to check.
pub(super) struct LocalStore {
    store: String,
    data: PathBuf,
    pub(super) trail: String,
}

impl LocalStore {
    fn find(source: &ApiSource) -> Result<LocalStore> {
        let data = local::data_folder(source);
        let store = local::store_location(source)?;
        let discovery = DiscoveryFile::read(&data)
            .ok()
            .flatten()
            .filter(|discovery| discovery.store == store && source.store.is_none());
        let trail = discovery.map_or_else(|| source.trail.clone(), |discovery| discovery.trail);
        Ok(LocalStore { store, data, trail })
    }

    /// The server's local folder, if it exists on this machine.
    pub(super) fn local(&self) -> Option<PathBuf> {
        Some(self.data.join("local")).filter(|local| local.is_dir())
    }

    /// The API's routes over the current state of the store.
    pub(super) async fn api(&self) -> Result<Api> {
        let router = meshtrail_server::direct::open(&self.store, &self.data, &self.trail).await?;
        Ok(Api::Direct(Box::new(router)))
    }

    async fn open(&self) -> Result<Store> {
        let location: StoreLocation = self.store.parse()?;
        let store = Store::open_read_only(&location).await;
        store.with_context(|| format!("the store {location} can't be read"))
    }

    async fn verify(&self, scope: Scope, vkey: Option<&str>, against: Vec<String>) -> Result<Report> {
        let store = self.open().await?;
        let request =
            VerifyRequest { trail: self.trail.clone(), scope, vkey: vkey.map(str::to_owned), against };
        let report = verify(&store, self.local().as_deref(), &request, &show_progress).await;
        clear_progress();
        Ok(report)
    }
}

/// Checks every recording against the trail, whose own events were checked before.
async fn check_recordings(local_store: &LocalStore, findings: &mut Findings) -> Result<()> {
    let store = local_store.open().await?;
    // Objects are listed before the trail is read: a session that is sealed meanwhile has its event by then.
    let mut unreferenced = match UnreferencedObjects::list(&store).await {
        Ok(objects) => objects,
        Err(error) => return findings.add("recordings", false, &format!("they can't be listed: {error:#}")),
    };
    let api = match local_store.api().await {
        Ok(api) => api,
        Err(error) => {
            return findings.add("recordings", false, &format!("they can't be looked for: {error:#}"));
        }
    };
    check_shadowing(&store, findings).await?;
    let mut cursor = None;
    loop {
        let query = SessionsQuery { limit: Some(PAGE), cursor, ..SessionsQuery::default() };
        let page = match api.get_json::<SessionsPage>(&path("/api/v1/sessions", &query)).await {
            Ok(page) => page,
            Err(error) => {
                return findings.add("recordings", false, &format!("they can't be listed: {error:#}"));
            }
        };
        for session in page.sessions {
            let id = session.id;
            if session.event.is_some() {
                unreferenced.mark_referenced(&id);
            }
            // An unreadable recording is reported here with its object; the API names only the session.
            if session.event.is_some()
                && let Err(error) = inspect(&store, &id, session.index_sha256.as_deref()).await
            {
                findings.add(&format!("session {id}"), false, &format!("{:#}", anyhow::Error::new(error)))?;
                continue;
            }
            if let Err(error) = via_api::check_session(&api, &id, None, findings).await {
                findings.add(&format!("session {id}"), false, &format!("it can't be checked: {error:#}"))?;
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return unreferenced.report(local_store, &store, findings).await,
        }
    }
}

/// Reports delete markers and later versions over recordings in a versioned bucket.
async fn check_shadowing(store: &Store, findings: &mut Findings) -> Result<()> {
    let below = Key::new("recordings").expect("a plain word is a key");
    match store.audit(&below).await {
        Ok(tampering) => tampering.iter().try_for_each(|one| {
            let what = match one.what {
                TamperingKind::DeleteMarker => "a delete marker",
                TamperingKind::LaterVersion => "another version",
            };
            let (at, version) = (&one.at, &one.version);
            let finding = format!(
                "{what} was put in front of it at {at} (version {version}); its first version was read instead"
            );
            findings.add(&one.key, false, &finding)
        }),
        Err(error) => {
            let finding = format!("their versions can't be listed: {:#}", anyhow::Error::new(error));
            findings.add("recordings", false, &finding)
        }
    }
}

fn show_progress(progress: Progress) {
    if std::io::stderr().is_terminal() && progress.of > 0 {
        let percent = progress.done.saturating_mul(100) / progress.of;
        // Verification goes on even if its progress can't be printed.
        let _ignored = std::io::Write::write_fmt(
            &mut std::io::stderr().lock(),
            format_args!("\r{} of {} events ({percent} %)", progress.done, progress.of),
        );
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        let _ignored = std::io::Write::write_all(&mut std::io::stderr().lock(), b"\r\x1b[K");
    }
}
