//! What the terminals show.

mod database;
mod deploy;
mod editor;
mod host;
mod night;

pub(super) use database::database;
pub(super) use deploy::{deploy, pod};
pub(super) use editor::editor;
pub(super) use host::{command, disk, load, logs};
pub(super) use night::{aftermath, visit};

use super::reel::Reel;
use super::script::Place;

/// What a host says to whoever logs in.
fn greet(reel: &mut Reel, place: &Place) {
    reel.wait(200);
    reel.lines(
        0,
        &[
            "\x1b[2m# sessions on this machine are recorded\x1b[0m",
            &format!("Linux {} 6.12.41 #1 SMP x86_64 GNU/Linux", place.host),
            &format!("Last login: {} {} from {}", place.date, place.time(0), place.from),
        ],
    );
    reel.show(&place.prompt());
}

/// Leaves the shell.
fn leave(reel: &mut Reel) {
    reel.enter("exit");
    reel.show("logout\r\n");
}
