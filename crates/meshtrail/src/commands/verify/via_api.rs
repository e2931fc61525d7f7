//! Checks of events, sessions and older checkpoints, fetched through the API.

use anyhow::Result;
use meshtrail_api::client::{encode, path};
use meshtrail_api::events::{EventsAnswer, EventsQuery, Order};
use meshtrail_api::proofs::{Consistency, Head, Inclusion, ProofQuery};
use meshtrail_api::recordings::{Purpose, RecordingQuery};
use meshtrail_api::sessions::{Session, SessionState};
use meshtrail_event::{Detail, Event, EventId, RelativePosition, SessionId};
use meshtrail_recording::check::{Checker, Statement};
use meshtrail_trail::note::{Checkpoint, verify_note};
use meshtrail_trail::tree::{
    ConsistencyProof, HashError, InclusionProof, leaf_hash, verify_consistency, verify_inclusion,
};

use super::PAGE;
use super::findings::Findings;
use crate::api::Api;

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
    let from = RelativePosition { trail: None, index: older.size };
    let query = ProofQuery { from: Some(from), to: Some(newest.size), ..ProofQuery::default() };
    let answer: Consistency = api.get_json(&path("/api/v1/proof", &query)).await?;
    let proof = match consistency_proof(&answer) {
        Ok(proof) => proof,
        Err(error) => return Ok(Err(error.to_string())),
    };
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

fn consistency_proof(answer: &Consistency) -> std::result::Result<ConsistencyProof, HashError> {
    Ok(ConsistencyProof {
        from: answer.from,
        to: answer.to,
        from_root: answer.from_root.parse()?,
        to_root: answer.to_root.parse()?,
        hashes: answer.hashes.iter().map(|hash| hash.parse()).collect::<std::result::Result<_, _>>()?,
    })
}

fn inclusion_proof(answer: &Inclusion) -> std::result::Result<InclusionProof, HashError> {
    Ok(InclusionProof {
        index: answer.index,
        leaf_hash: answer.leaf_hash.parse()?,
        size: answer.size,
        root: answer.root.parse()?,
        hashes: answer.hashes.iter().map(|hash| hash.parse()).collect::<std::result::Result<_, _>>()?,
    })
}

/// Checks that an event is in the signed tree; returns the event with the finding.
async fn check_inclusion(
    api: &Api,
    id: &EventId,
    vkey: &str,
) -> Result<std::result::Result<(Event, String), String>> {
    let leaf = api.get_bytes(&format!("/api/v1/events/{}", encode(&id.to_string()))).await?;
    let query = ProofQuery { event: Some(id.to_string()), ..ProofQuery::default() };
    let inclusion: Inclusion = api.get_json(&path("/api/v1/proof", &query)).await?;
    let event = match Event::from_json(&leaf) {
        Ok(event) if event.to_leaf() == leaf && event.id == *id => event,
        Ok(_) => return Ok(Err("what is shown is not this event's canonical form".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(check_proof(&inclusion, &leaf, vkey)
        .map(|finding| (event, finding))
        .map_err(|why| format!("{}: {why}", inclusion.event_id)))
}

fn check_proof(inclusion: &Inclusion, leaf: &[u8], vkey: &str) -> CheckResult {
    let Some(note) = &inclusion.note else {
        return Err("its proof comes without a signed checkpoint".to_owned());
    };
    let signed = verify_note(note, vkey).map_err(|error| error.to_string())?;
    let proof = inclusion_proof(inclusion).map_err(|error| error.to_string())?;
    if (proof.size, proof.root) != (signed.size, signed.root) {
        return Err("its proof leads to another root than the one that is signed".to_owned());
    }
    if proof.leaf_hash != leaf_hash(leaf) {
        return Err("its proof is of other bytes".to_owned());
    }
    verify_inclusion(&proof).map_err(|error| error.to_string())?;
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
    if session.state != SessionState::Live && session.event.is_none() {
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
        let query = EventsQuery {
            q: Some(format!("session:{id} kind:recording.mark,ssh.session,kube.session")),
            limit: Some(PAGE),
            cursor,
            order: Some(Order::Oldest),
        };
        let page: EventsAnswer = api.get_json(&path("/api/v1/events", &query)).await?;
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
    let recording = format!("/api/v1/sessions/{}/recording", encode(id.as_str()));
    let response = api.get(&path(&recording, &RecordingQuery { purpose: Purpose::Verify })).await;
    let mut answer = match response {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(format!("its recording can't be read: {error:#}"))),
    };
    let mut bytes = 0;
    while let Some(part) = answer.next().await {
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
