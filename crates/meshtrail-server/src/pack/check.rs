//! Checks an evidence pack with nothing but the file.
//!
//! Each check has its own result, and a failed one does not stop those that do not depend on it. Whose key the pack is
//! signed by can't be told from the file; the caller compares [`Report::vkey`].

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshtrail_console::pack_frame;
use meshtrail_event::text::visible;
use meshtrail_event::{Detail, Event, Kind, SessionId};
use meshtrail_recording::check::{Checker, Statement};
use meshtrail_trail::note::{Checkpoint, verify_note};
use meshtrail_trail::tree::{InclusionProof, leaf_hash, verify_inclusion};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{FORMAT, Pack, gunzip};

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
    /// The session, as the pack names it.
    pub session: Option<SessionId>,
    /// The key that signs the checkpoint, to be compared with one known from elsewhere.
    pub vkey: Option<String>,
    /// The trail's origin and size at the checkpoint.
    pub checkpoint: Option<(String, u64)>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked: `file`, `key and checkpoint`, `events`, `recording`.
    pub what: &'static str,
    pub holds: bool,
    /// What was found, in words.
    #[serde(rename = "said")]
    pub finding: String,
}

impl Report {
    /// Whether every check holds.
    pub fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.holds)
    }

    fn add(&mut self, what: &'static str, result: Result<String, String>) {
        let (holds, finding) = match result {
            Ok(finding) => (true, finding),
            Err(finding) => (false, finding),
        };
        self.checks.push(Check { what, holds, finding });
    }
}

/// Checks a pack file.
pub fn check(html: &[u8]) -> Report {
    let mut report = Report { checks: Vec::new(), session: None, vkey: None, checkpoint: None };
    let (pack, frame) = match parse(html) {
        Ok(parsed) => parsed,
        Err(why) => {
            report.add("file", Err(why));
            return report;
        }
    };
    report.session = Some(pack.session.clone());
    report.vkey = Some(pack.vkey.clone());
    report.add("file", frame);
    let checkpoint = verify_checkpoint(&pack);
    if let Ok(checkpoint) = &checkpoint {
        report.checkpoint = Some((checkpoint.origin.clone(), checkpoint.size));
    }
    let events = parse_events(&pack);
    report.add(
        "events",
        match (&events, &checkpoint) {
            (Err(why), _) => Err(why.clone()),
            (Ok(_), Err(_)) => Err("there is no checkpoint to prove them under".to_owned()),
            (Ok(events), Ok(checkpoint)) => verify_events(&pack, events, checkpoint),
        },
    );
    report.add(
        "key and checkpoint",
        checkpoint.map(|checkpoint| format!("the root of {} events is signed by this key", checkpoint.size)),
    );
    report.add(
        "recording",
        match &events {
            Ok(events) => check_recording(&pack, events),
            Err(_) => {
                Err("its closing event can't be read, so there is nothing to hold it against".to_owned())
            }
        },
    );
    report
}

fn parse(html: &[u8]) -> Result<(Pack, Result<String, String>), String> {
    let html = std::str::from_utf8(html)
        .map_err(|_| "this file is not text: it was altered, or is no pack".to_owned())?;
    let embedded = pack_frame::extract(html).ok_or("there is no pack in this file")?;
    let pack: Pack = serde_json::from_str(embedded.data)
        .map_err(|error| format!("the data in this file can't be read: {error}"))?;
    if pack.format != FORMAT {
        return Err(format!("this is a pack of the form {:?}; {FORMAT:?} is read here", pack.format));
    }
    let frame = if embedded.is_current_frame {
        Ok("the page around the data is the one this version writes".to_owned())
    } else {
        Err("the page around the data is not the one this version writes: what it shows in a browser can't be relied on; the checks here do not use it".to_owned())
    };
    Ok((pack, frame))
}

fn verify_checkpoint(pack: &Pack) -> Result<Checkpoint, String> {
    let checkpoint = verify_note(&pack.checkpoint, &pack.vkey).map_err(|error| error.to_string())?;
    if checkpoint.size != pack.size {
        return Err(format!("the checkpoint is of {} events, the pack says {}", checkpoint.size, pack.size));
    }
    Ok(checkpoint)
}

/// The events of a pack: the bytes of the leaf, and the event parsed from them.
fn parse_events(pack: &Pack) -> Result<Vec<(Vec<u8>, Event)>, String> {
    let read = |(at, each): (usize, &super::PackEvent)| {
        let which = |why: String| format!("event {} of {} {why}", at + 1, pack.events.len());
        let leaf =
            BASE64_STANDARD.decode(&each.leaf).map_err(|_| which("is not base64 any more".to_owned()))?;
        let event = Event::from_json(&leaf).map_err(|error| which(format!("can't be read: {error}")))?;
        if event.session.as_ref() != Some(&pack.session) {
            return Err(which(format!("({}) is not of session {}", event.id, pack.session)));
        }
        Ok((leaf, event))
    };
    let events: Vec<_> = pack.events.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    match events.iter().filter(|(_, event)| closes_session(&event.kind)).count() {
        1 => Ok(events),
        0 => Err(format!("no event closes session {}", pack.session)),
        _ => Err(format!("more than one event closes session {}", pack.session)),
    }
}

fn closes_session(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::SshSessionEnded
            | Kind::SshSessionFailed
            | Kind::SshSessionInterrupted
            | Kind::KubeSessionEnded
            | Kind::KubeSessionFailed
            | Kind::KubeSessionInterrupted
    )
}

fn verify_events(
    pack: &Pack,
    events: &[(Vec<u8>, Event)],
    checkpoint: &Checkpoint,
) -> Result<String, String> {
    for (each, (leaf, event)) in pack.events.iter().zip(events) {
        let proof = InclusionProof {
            index: each.index,
            leaf_hash: leaf_hash(leaf),
            size: checkpoint.size,
            root: checkpoint.root,
            hashes: each.hashes.clone(),
        };
        verify_inclusion(&proof).map_err(|error| {
            format!("event {} is not proven: {error}; the event or its path was altered", event.id)
        })?;
    }
    Ok(format!("each of {} leads by its path to the signed root", events.len()))
}

fn check_recording(pack: &Pack, events: &[(Vec<u8>, Event)]) -> Result<String, String> {
    if pack.recording.encoding != "gzip" {
        return Err(format!("it is packed as {:?}, which is not known here", pack.recording.encoding));
    }
    let altered = |_| "it was altered: it can't be unpacked".to_owned();
    let compressed =
        BASE64_STANDARD.decode(&pack.recording.data).map_err(|_| "it is not base64 any more".to_owned())?;
    if hex::encode(Sha256::digest(&compressed)) != pack.recording.sha256 {
        return Err("it was altered: the packed bytes do not have the SHA-256 that the pack gives".to_owned());
    }
    let bytes = gunzip(&compressed).map_err(altered)?;
    let (marks, end, imported) = parse_statements(events)?;
    let count = marks.len();
    let mut checker = Checker::new(marks, Some(end));
    checker.push(&bytes);
    let deviations = checker.finish();
    match deviations.first() {
        None => Ok(format!("{} bytes, as the closing event and {count} marks say{imported}", bytes.len())),
        Some(first) => Err(format!("it was altered: {first}")),
    }
}

/// The events' statements about the recording: the marks, the end, and a remark if it was imported.
fn parse_statements(events: &[(Vec<u8>, Event)]) -> Result<(Vec<Statement>, Statement, String), String> {
    let (mut marks, mut end, mut counted, mut imported) = (Vec::new(), None, None, String::new());
    for (_, event) in events {
        let state = |bytes: Option<u64>, sha256: &Option<String>| {
            let missing = || format!("event {} does not say of which bytes it speaks", event.id);
            Ok::<_, String>(Statement {
                event: event.id.clone(),
                bytes: bytes.ok_or_else(missing)?,
                sha256: sha256.clone().ok_or_else(missing)?,
            })
        };
        match &event.detail {
            Some(Detail::Mark(mark)) if event.kind == Kind::RecordingMark => {
                marks.push(state(mark.bytes, &mark.sha256)?)
            }
            Some(Detail::Session(facts)) if closes_session(&event.kind) => {
                counted = facts.marks;
                if let Some(from) = &facts.imported_from {
                    imported = format!("; imported from {}, not witnessed while it happened", visible(from));
                }
                end = Some(state(facts.bytes, &facts.sha256)?);
            }
            _ => {}
        }
    }
    let end = end.ok_or("the closing event does not speak of the recording")?;
    if let Some(counted) = counted.filter(|&counted| counted != marks.len() as u64) {
        return Err(format!("the closing event counts {counted} marks, the pack holds {}", marks.len()));
    }
    Ok((marks, end, imported))
}

#[cfg(test)]
mod tests;
