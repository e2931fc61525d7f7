//! Checks of events, sessions and older checkpoints, fetched through the API.

use anyhow::Result;
use futures::StreamExt;
use meshtrail_event::{Detail, Event, EventId, SessionId};
use meshtrail_recording::check::{Checker, Statement};
use meshtrail_trail::note::{Checkpoint, verify_note};
use meshtrail_trail::tree::{
    ConsistencyProof, InclusionProof, leaf_hash, verify_consistency, verify_inclusion,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::findings::Findings;
use crate::api::{Api, encode, path};
use crate::commands::sessions::Session;

/// The page size of requests.
const PAGE: &str = "500";

#[derive(Deserialize)]
struct Head {
    note: String,
    vkey: String,
}

#[derive(Deserialize)]
struct EventProof {
    event_id: String,
    #[serde(default)]
    note: Option<String>,
    #[serde(flatten)]
    proof: InclusionProof,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<String>,
}

/// The result of a check, in words: `Ok` if it holds.
type CheckResult = std::result::Result<String, String>;

/// Checks `ids` and the older checkpoint.
pub(crate) async fn check(
    api: &Api,
    ids: &[String],
    vkey: Option<&str>,
    older: Option<String>,
    findings: &mut Findings,
) -> Result<()> {
    let head: Head = api.get_json("/api/v1/checkpoint").await?;
    let vkey = vkey.unwrap_or(&head.vkey);
    let newest = match verify_note(&head.note, vkey) {
        Ok(newest) => newest,
        Err(error) => return findings.add("checkpoint", false, &error.to_string()),
    };
    findings.add(
        "checkpoint",
        true,
        &format!("{} events of {}, signed by {vkey}", newest.size, newest.origin),
    )?;
    if let Some(older) = older {
        add_result(findings, "older checkpoint", check_consistency(api, &older, &newest, vkey).await?)?;
    }
    for id in ids {
        match id.parse::<SessionId>() {
            Ok(session) => check_session(api, &session, Some(vkey), findings).await?,
            Err(_) => {
                let id: EventId = id.parse()?;
                let result = check_inclusion(api, &id, vkey).await?.map(|(_, finding)| finding);
                add_result(findings, &format!("event {id}"), result)?;
            }
        }
    }
    Ok(())
}

fn add_result(findings: &mut Findings, subject: &str, result: CheckResult) -> Result<()> {
    match result {
        Ok(finding) => findings.add(subject, true, &finding),
        Err(finding) => findings.add(subject, false, &finding),
    }
}

/// Checks that the trail of an older checkpoint is a prefix of the newest one.
async fn check_consistency(api: &Api, older: &str, newest: &Checkpoint, vkey: &str) -> Result<CheckResult> {
    let older = match verify_note(older, vkey) {
        Ok(older) => older,
        Err(error) => return Ok(Err(format!("the older checkpoint itself: {error}"))),
    };
    if older.origin != newest.origin {
        return Ok(Err(format!("it is of {}, this trail is {}", older.origin, newest.origin)));
    }
    if older.size > newest.size {
        let (had, has) = (older.size, newest.size);
        return Ok(Err(format!(
            "it signs {had} events, the trail has {has}: events are gone, or an old copy was put back"
        )));
    }
    let parameters = [("from", Some(older.size.to_string())), ("to", Some(newest.size.to_string()))];
    let proof: ConsistencyProof = api.get_json(&path("/api/v1/proof", &parameters)).await?;
    if let Err(error) = verify_consistency(&proof) {
        return Ok(Err(error.to_string()));
    }
    let same = (proof.from, proof.to, proof.from_root, proof.to_root)
        == (older.size, newest.size, older.root, newest.root);
    Ok(if same {
        Ok(format!("its {} events are the first of this trail's {}", older.size, newest.size))
    } else {
        Err("its events are not the first events of this trail: history was rewritten".to_owned())
    })
}

/// Checks that an event is in the signed tree; returns the event with the finding.
async fn check_inclusion(
    api: &Api,
    id: &EventId,
    vkey: &str,
) -> Result<std::result::Result<(Event, String), String>> {
    let leaf = api.get_bytes(&format!("/api/v1/events/{}", encode(&id.to_string()))).await?;
    let event_proof: EventProof =
        api.get_json(&path("/api/v1/proof", &[("event", Some(id.to_string()))])).await?;
    let event = match Event::from_json(&leaf) {
        Ok(event) if event.to_leaf() == leaf && event.id == *id => event,
        Ok(_) => return Ok(Err("what is shown is not this event's canonical form".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(check_proof(&event_proof, &leaf, vkey)
        .map(|finding| (event, finding))
        .map_err(|why| format!("{}: {why}", event_proof.event_id)))
}

fn check_proof(event_proof: &EventProof, leaf: &[u8], vkey: &str) -> CheckResult {
    let Some(note) = &event_proof.note else {
        return Err("its proof comes without a signed checkpoint".to_owned());
    };
    let signed = verify_note(note, vkey).map_err(|error| error.to_string())?;
    let proof = &event_proof.proof;
    if (proof.size, proof.root) != (signed.size, signed.root) {
        return Err("its proof leads to another root than the one that is signed".to_owned());
    }
    if proof.leaf_hash != leaf_hash(leaf) {
        return Err("its proof is of other bytes".to_owned());
    }
    verify_inclusion(proof).map_err(|error| error.to_string())?;
    Ok(format!("in the trail at index {} of {}", proof.index, proof.size))
}

/// Fetches a session.
pub(crate) async fn fetch_session(api: &Api, id: &SessionId) -> Result<Session> {
    api.get_json(&format!("/api/v1/sessions/{}", encode(id.as_str()))).await
}

/// Checks a session: its events if a key is given, and its recording against them.
pub(crate) async fn check_session(
    api: &Api,
    id: &SessionId,
    vkey: Option<&str>,
    findings: &mut Findings,
) -> Result<()> {
    let subject = format!("session {id}");
    let session = fetch_session(api, id).await?;
    let mut statements = Statements::default();
    for event in events_of(api, id).await? {
        if let Some(vkey) = vkey
            && let Err(why) = check_inclusion(api, &event.id, vkey).await?
        {
            findings.add(&format!("{subject}, event {}", event.id), false, &why)?;
        }
        statements.add(&event);
    }
    if session.state != "live" && session.event.is_none() {
        return findings.add(&subject, false, "its recording is just being sealed; ask again in a moment");
    }
    if session.event.is_some() && statements.end.is_none() {
        return findings.add(&subject, false, "the event that ended it names no bytes");
    }
    if statements.end.is_none() && statements.marks.is_empty() {
        return findings.add(&subject, true, "it is live, and no mark binds its bytes yet");
    }
    let result = check_recording(api, id, statements).await?;
    add_result(findings, &subject, result)
}

/// The trail's statements about a recording.
#[derive(Default)]
struct Statements {
    marks: Vec<Statement>,
    end: Option<Statement>,
    /// Where it was imported from, if it was not recorded here.
    imported_from: Option<String>,
}

impl Statements {
    fn add(&mut self, event: &Event) {
        match &event.detail {
            Some(Detail::Mark(mark)) => {
                self.marks.extend(statement(&event.id, mark.bytes, mark.sha256.as_deref()))
            }
            Some(Detail::Session(facts)) => {
                let end = statement(&event.id, facts.bytes, facts.sha256.as_deref());
                self.end = end.or_else(|| self.end.take());
                self.imported_from.clone_from(&facts.imported_from);
            }
            _ => {}
        }
    }
}

fn statement(event: &EventId, bytes: Option<u64>, sha256: Option<&str>) -> Option<Statement> {
    Some(Statement { event: event.clone(), bytes: bytes?, sha256: sha256?.to_owned() })
}

async fn events_of(api: &Api, id: &SessionId) -> Result<Vec<Event>> {
    let (mut events, mut cursor) = (Vec::new(), None);
    loop {
        let parameters = [
            ("q", Some(format!("session:{id} kind:recording.mark,ssh.session,kube.session"))),
            ("order", Some("oldest".to_owned())),
            ("limit", Some(PAGE.to_owned())),
            ("cursor", cursor),
        ];
        let page: Page = api.get_json(&path("/api/v1/events", &parameters)).await?;
        for leaf in &page.events {
            events.push(Event::from_json(leaf.get().as_bytes())?);
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(events),
        }
    }
}

async fn check_recording(api: &Api, id: &SessionId, statements: Statements) -> Result<CheckResult> {
    let (marks, live) = (statements.marks.len(), statements.end.is_none());
    let imported = statements
        .imported_from
        .as_deref()
        .map_or_else(String::new, |from| format!("; imported from {from}, not witnessed while it happened"));
    let covered = statements.marks.iter().map(|mark| mark.bytes).max().unwrap_or(0);
    let mut checker = Checker::new(statements.marks, statements.end);
    let response = api.get(&format!("/api/v1/sessions/{}/recording?for=verify", encode(id.as_str()))).await;
    let mut answer = match response {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(format!("its recording can't be read: {error:#}"))),
    };
    let mut bytes = 0;
    while let Some(part) = answer.body.next().await {
        match part {
            Ok(part) => {
                bytes += part.len() as u64;
                checker.push(&part);
            }
            Err(error) => {
                return Ok(Err(format!("its recording can't be read past byte {bytes}: {error:#}")));
            }
        }
    }
    let sha256 = checker.sha256();
    let deviations: Vec<String> = checker.finish().iter().map(ToString::to_string).collect();
    Ok(match (deviations.is_empty(), live) {
        (false, _) => Err(deviations.join("; ")),
        (true, true) => Ok(format!("live; its first {covered} bytes are those of {marks} marks")),
        (true, false) => Ok(format!("{bytes} bytes, SHA-256 {sha256}, {marks} marks agree{imported}")),
    })
}
