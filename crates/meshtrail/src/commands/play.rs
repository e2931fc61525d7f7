//! `sessions play` and `sessions follow`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use meshtrail_api::client::{Answer, ClientError, SseFrame, encode, path};
use meshtrail_api::recordings::CastQuery;
use tokio::sync::mpsc;

use crate::api::Api;
use crate::args::{SessionFollow, SessionPlay};
use crate::output::{print_line, print_note};
use crate::playback_clock::PlaybackClock;
use crate::player::{self, CastLine, Screen};
use crate::terminal::{self, RawTerminal};

/// The update interval of the status line.
const TICK: Duration = Duration::from_millis(200);

/// The longest line of a recording that is accepted, in bytes.
const MAX_LINE: usize = 16 << 20;

/// Plays a recording in this terminal.
pub(crate) async fn play(play: SessionPlay) -> Result<()> {
    if !std::io::stdout().is_terminal() {
        bail!("playing needs a terminal; `meshtrail sessions export` gives the recording for other players");
    }
    let api = Api::open(&play.source).await?;
    let query = CastQuery { from: play.from.map(|from| from.as_secs_f64()) };
    let answer = api.get(&path(&format!("/api/v1/sessions/{}/cast", encode(&play.id)), &query)).await?;
    let clock = PlaybackClock::new(play.speed, play.idle_limit, Instant::now());
    show(&play.id, cast_lines(answer, Framing::Lines), clock).await
}

/// Watches a live session.
pub(crate) async fn follow(follow: SessionFollow) -> Result<()> {
    let api = Api::open(&follow.api.source).await?;
    let answer = api.get(&format!("/api/v1/sessions/{}/follow", encode(&follow.id))).await?;
    let mut lines = cast_lines(answer, Framing::ServerSentEvents(SseFrame::default()));
    if follow.api.json || !std::io::stdout().is_terminal() {
        while let Some(text) = lines.recv().await {
            print_line(&text?)?;
        }
        return Ok(());
    }
    // Live lines are due when they arrive.
    show(&follow.id, lines, PlaybackClock::new(1.0, Some(Duration::ZERO), Instant::now())).await?;
    print_note("The session ended, or watching was stopped.");
    Ok(())
}

enum Framing {
    Lines,
    ServerSentEvents(SseFrame),
}

impl Framing {
    /// Adds a line of the answer; returns the line of the recording that it completes.
    fn push_line(&mut self, text: String) -> Option<String> {
        match self {
            Framing::Lines => Some(text).filter(|text| !text.is_empty()),
            // An event with a kind is the last one.
            Framing::ServerSentEvents(frame) => {
                frame.push_line(&text).filter(|event| event.kind.is_empty()).map(|event| event.data)
            }
        }
    }
}

/// The lines of a recording as they arrive, in a channel, so that keys are handled meanwhile.
fn cast_lines(answer: Answer, mut framing: Framing) -> mpsc::Receiver<Result<String>> {
    // When the channel is full, reading waits, and the server with it.
    let (sender, receiver) = mpsc::channel(256);
    tokio::spawn(async move {
        let mut lines = answer.lines(MAX_LINE);
        loop {
            let sent = match lines.next().await {
                Ok(None) => return,
                Ok(Some(line)) => {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    let Some(text) = framing.push_line(text) else { continue };
                    sender.send(Ok(text)).await
                }
                Err(ClientError::LineTooLong { .. }) => {
                    let error = anyhow::anyhow!("a line of the recording is too long to play");
                    return drop(sender.send(Err(error)).await);
                }
                Err(error) => return drop(sender.send(Err(error.into())).await),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Draws lines when they are due, until the recording ends or `q` is pressed.
async fn show(
    title: &str,
    mut lines: mpsc::Receiver<Result<String>>,
    mut clock: PlaybackClock,
) -> Result<()> {
    let raw_terminal = RawTerminal::enter()?;
    let (mut keys, mut screen, mut size) = (terminal::keys(), Screen::new(), terminal::size());
    let mut next: Option<(f64, CastLine)> = None;
    let mut ended = false;
    loop {
        let now = Instant::now();
        if terminal::size() != size {
            size = terminal::size();
            screen.redraw();
        }
        let wait = match &next {
            Some((due, _)) => clock.time_until(*due, now),
            None => None,
        };
        if wait == Some(Duration::ZERO)
            && let Some((_, cast)) = next.take()
        {
            screen.feed(&cast);
            // Lines that are due together are drawn together.
            if lines.is_empty() || ended {
                screen.draw(&mut std::io::stdout().lock(), size, &clock.status(title, now))?;
            }
        }
        tokio::select! {
            biased;
            key = keys.recv() => match key {
                None | Some(b'q' | 3 | 4) => break,
                Some(b' ') => clock.toggle(Instant::now()),
                Some(b'+' | b'=') => clock.change_speed(2.0, Instant::now()),
                Some(b'-' | b'_') => clock.change_speed(0.5, Instant::now()),
                Some(b'.') => if let Some((due, _)) = &next { clock.step_to(*due, Instant::now()); step(&mut screen, &mut next) },
                Some(_) => {}
            },
            text = lines.recv(), if next.is_none() && !ended => match text {
                None => ended = true,
                Some(text) => if let Some(cast) = player::parse(&text?) { next = Some((clock.due(cast.at()), cast)) },
            },
            () = tokio::time::sleep(wait.unwrap_or(TICK).min(TICK)) => {
                screen.draw(&mut std::io::stdout().lock(), size, &clock.status(title, Instant::now()))?;
            }
        }
        if ended && next.is_none() {
            screen.draw(&mut std::io::stdout().lock(), size, &format!(" {title}  ended, press any key "))?;
            keys.recv().await;
            break;
        }
    }
    drop(raw_terminal);
    std::io::stdout().flush()?;
    Ok(())
}

fn step(screen: &mut Screen, next: &mut Option<(f64, CastLine)>) {
    if let Some((_, cast)) = next.take() {
        screen.feed(&cast);
    }
}
