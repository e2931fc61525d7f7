//! The scripts' commands and outputs.

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

use super::script::ScriptContext;
use super::terminal::Terminal;

/// A host's greeting after login.
fn greet(terminal: &mut Terminal, context: &ScriptContext) {
    terminal.wait(200);
    terminal.lines(
        0,
        &[
            "\x1b[2m# sessions on this machine are recorded\x1b[0m",
            &format!("Linux {} 6.12.41 #1 SMP x86_64 GNU/Linux", context.host),
            &format!("Last login: {} {} from {}", context.date, context.time(0), context.from),
        ],
    );
    terminal.show(&context.prompt());
}

/// Leaves the shell.
fn leave(terminal: &mut Terminal) {
    terminal.enter("exit");
    terminal.show("logout\r\n");
}
