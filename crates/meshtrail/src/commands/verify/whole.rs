//! `verify --all`: the store itself, every event and every recording, without any server.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use meshtrail_event::{EventId, SessionId};
use meshtrail_recording::seal::inspect;
use meshtrail_server::serve::note::ServerNote;
use meshtrail_trail::store::{Key, Store, StoreLocation, TamperingKind};
use meshtrail_trail::verify::{Progress, Report, Scope, VerifyRequest, verify};
use serde::Deserialize;

use super::asked;
use super::findings::Findings;
use super::unspoken::Unspoken;
use crate::api::{Api, path};
use crate::args::{Source, Verify};
use crate::local;
use crate::output::note;

/// Checks everything.
pub(crate) async fn check(
    source: &Source,
    vkey: Option<&str>,
    older: Option<String>,
    findings: &mut Findings,
) -> Result<()> {
    if source.named_server().is_some() {
        bail!(
            "--all reads the store itself: run it where the store can be reached, with --store in place of --server"
        );
    }
    let place = Place::find(source)?;
    let report = place.verify(Scope::All, vkey, older.into_iter().collect()).await?;
    if report.problems.is_empty() {
        let checked = report.checked;
        let root = report.head.as_ref().map_or_else(String::new, |head| format!(", root {}", head.root));
        let said = format!(
            "{} events in {} segments, {} manifests, {} tiles and {} checkpoints agree{root}",
            checked.events, checked.segments, checked.manifests, checked.tiles, checked.checkpoints
        );
        findings.add(&format!("trail {}", place.trail), true, &said)?;
    }
    tell(&report, findings)?;
    recordings(&place, findings).await
}

/// Checks events, sessions and an older checkpoint against a store, its log included.
pub(crate) async fn check_ids(
    api: &Api,
    verify: &Verify,
    older: Option<String>,
    findings: &mut Findings,
) -> Result<()> {
    let place = Place::find(&verify.asking.source)?;
    let vkey = verify.vkey.as_deref();
    if let Some(older) = older {
        let report = place.verify(Scope::Indices(0..0), vkey, vec![older]).await?;
        if report.holds() {
            findings.add("older checkpoint", true, "its events are the first of this trail's")?;
        }
        tell(&report, findings)?;
    }
    for id in &verify.ids {
        let (event, session) = match id.parse::<SessionId>() {
            Ok(session) => {
                let shown = asked::shown(api, &session).await?;
                (shown.event.as_deref().map(str::parse).transpose()?, Some((session, shown)))
            }
            Err(_) => (Some(id.parse::<EventId>()?), None),
        };
        if let Some(event) = event {
            let report = place.verify(Scope::Event(event.clone()), vkey, Vec::new()).await?;
            if report.holds() {
                let found = report.found.map_or_else(String::new, |index| format!(" at index {index}"));
                findings.add(&format!("event {event}"), true, &format!("in the trail{found}"))?;
            }
            tell(&report, findings)?;
        }
        if let Some((session, shown)) = session {
            if shown.event.is_some()
                && let Err(error) =
                    inspect(&place.open().await?, &session, shown.index_sha256.as_deref()).await
            {
                let said = format!("{:#}", anyhow::Error::new(error));
                findings.add(&format!("session {session}"), false, &said)?;
                continue;
            }
            asked::check_session(api, &session, None, findings).await?;
        }
    }
    Ok(())
}

fn tell(report: &Report, findings: &mut Findings) -> Result<()> {
    for problem in &report.problems {
        findings.add(&problem.object, false, &problem.what.to_string())?;
    }
    for remark in &report.notes {
        note(&format!("Note: {remark}"));
    }
    Ok(())
}

/// Where the store and this machine's part of it are.
pub(super) struct Place {
    store: String,
    data: PathBuf,
    pub(super) trail: String,
}

impl Place {
    fn find(source: &Source) -> Result<Place> {
        let data = local::folder(source);
        let store = local::store_location(source)?;
        let noted = ServerNote::read(&data)
            .ok()
            .flatten()
            .filter(|note| note.store == store && source.store.is_none());
        let trail = noted.map_or_else(|| source.trail.clone(), |note| note.trail);
        Ok(Place { store, data, trail })
    }

    /// The server's folder, where it is on this machine.
    pub(super) fn local(&self) -> Option<PathBuf> {
        Some(self.data.join("local")).filter(|local| local.is_dir())
    }

    /// The API's routes over it as it is now.
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

/// Every recording against the trail, whose own events were checked before.
async fn recordings(place: &Place, findings: &mut Findings) -> Result<()> {
    #[derive(Deserialize)]
    struct Listed {
        id: String,
        #[serde(default)]
        event: Option<String>,
        #[serde(default)]
        index_sha256: Option<String>,
    }
    #[derive(Deserialize)]
    struct Page {
        sessions: Vec<Listed>,
        #[serde(default)]
        next: Option<String>,
    }
    let store = place.open().await?;
    // Listed before the trail is read: what is sealed meanwhile has its event by then.
    let mut unspoken = match Unspoken::list(&store).await {
        Ok(unspoken) => unspoken,
        Err(error) => return findings.add("recordings", false, &format!("they can't be listed: {error:#}")),
    };
    let api = match place.api().await {
        Ok(api) => api,
        Err(error) => {
            return findings.add("recordings", false, &format!("they can't be looked for: {error:#}"));
        }
    };
    shadowed(&store, findings).await?;
    let mut cursor = None;
    loop {
        let asked = path("/api/v1/sessions", &[("limit", Some("500".to_owned())), ("cursor", cursor)]);
        let page = match api.get_json::<Page>(&asked).await {
            Ok(page) => page,
            Err(error) => {
                return findings.add("recordings", false, &format!("they can't be listed: {error:#}"));
            }
        };
        for listed in page.sessions {
            let id: SessionId = listed.id.parse()?;
            if listed.event.is_some() {
                unspoken.speak_of(&id);
            }
            // What can't be read is named here by its object; the API names only the session.
            if listed.event.is_some()
                && let Err(error) = inspect(&store, &id, listed.index_sha256.as_deref()).await
            {
                findings.add(&format!("session {id}"), false, &format!("{:#}", anyhow::Error::new(error)))?;
                continue;
            }
            if let Err(error) = asked::check_session(&api, &id, None, findings).await {
                findings.add(&format!("session {id}"), false, &format!("it can't be checked: {error:#}"))?;
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return unspoken.conclude(place, &store, findings).await,
        }
    }
}

/// What was put in front of recordings in a bucket that keeps versions.
async fn shadowed(store: &Store, findings: &mut Findings) -> Result<()> {
    let below = Key::new("recordings").expect("a plain word is a key");
    match store.audit(&below).await {
        Ok(found) => found.iter().try_for_each(|one| {
            let what = match one.what {
                TamperingKind::DeleteMarker => "a delete marker",
                TamperingKind::LaterVersion => "another version",
            };
            let (at, version) = (&one.at, &one.version);
            let said = format!(
                "{what} was put in front of it at {at} (version {version}); its first version was read instead"
            );
            findings.add(&one.key, false, &said)
        }),
        Err(error) => {
            let said = format!("their versions can't be listed: {:#}", anyhow::Error::new(error));
            findings.add("recordings", false, &said)
        }
    }
}

fn show_progress(progress: Progress) {
    if std::io::stderr().is_terminal() && progress.of > 0 {
        let percent = progress.done.saturating_mul(100) / progress.of;
        // Progress that can't be shown is no reason to stop.
        let _unseen = std::io::Write::write_fmt(
            &mut std::io::stderr().lock(),
            format_args!("\r{} of {} events ({percent} %)", progress.done, progress.of),
        );
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        let _unseen = std::io::Write::write_all(&mut std::io::stderr().lock(), b"\r\x1b[K");
    }
}
