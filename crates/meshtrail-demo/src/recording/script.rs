//! The list of scripts, and the context that each is played in.

use super::scripts;
use super::terminal::{Screen, Terminal};

/// A scripted session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Rolls out a release.
    Deploy,
    /// Follows a service's log until the cause is found.
    Logs,
    /// Queries a database for late orders.
    Database,
    /// Changes a configuration file in an editor.
    Editor,
    /// Finds what fills a disk.
    Disk,
    /// Shows a host's load.
    Load,
    /// Opens a shell in a pod.
    Pod,
    /// Runs one command without a terminal.
    Command,
    /// The incident's session on the database host.
    Visit,
    /// The investigation on the morning after.
    Aftermath,
}

/// The context of a script.
#[derive(Debug, Clone)]
pub(crate) struct ScriptContext {
    /// The account on the host.
    pub(crate) account: String,
    /// The host's short name.
    pub(crate) host: String,
    /// The date as programs print it, `Nov 14`.
    pub(crate) date: String,
    /// Hour and minute at the start.
    pub(crate) clock: (u64, u64),
    /// The client's address.
    pub(crate) from: String,
}

impl ScriptContext {
    /// The shell's prompt.
    pub(crate) fn prompt(&self) -> String {
        let sign = if self.account == "root" { '#' } else { '$' };
        format!("\x1b[1;32m{}@{}\x1b[0m:\x1b[1;34m~\x1b[0m{sign} ", self.account, self.host)
    }

    /// The time of day this many milliseconds after the start.
    pub(crate) fn time(&self, millis: u64) -> String {
        let seconds = self.clock.0 * 3600 + self.clock.1 * 60 + millis / 1000;
        format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

impl Script {
    /// The scripts of ordinary days.
    pub(crate) const DAILY: [Self; 7] =
        [Self::Logs, Self::Command, Self::Deploy, Self::Database, Self::Load, Self::Editor, Self::Disk];

    /// The terminal it runs in.
    pub(crate) fn screen(self, wide: bool) -> Screen {
        match (self, wide) {
            (Self::Command, _) => Screen::NONE,
            (_, true) => Screen { width: 120, height: 32 },
            (_, false) => Screen { width: 96, height: 28 },
        }
    }

    /// The command, if it is not an interactive shell.
    pub(crate) fn command(self, choice: u64) -> Option<&'static str> {
        const COMMANDS: [&str; 6] = [
            "uptime",
            "systemctl is-active api payments",
            "df -h /",
            "tar czf - /etc/nginx",
            "journalctl -u api --since -15m --no-pager",
            "cat /etc/os-release",
        ];
        match self {
            Self::Command => Some(COMMANDS[usize::try_from(choice).unwrap_or(0) % COMMANDS.len()]),
            Self::Pod => Some("sh"),
            _ => None,
        }
    }

    /// Plays it.
    pub(crate) fn play(self, terminal: &mut Terminal, context: &ScriptContext) {
        match self {
            Self::Deploy => scripts::deploy(terminal, context),
            Self::Logs => scripts::logs(terminal, context),
            Self::Database => scripts::database(terminal, context),
            Self::Editor => scripts::editor(terminal, context),
            Self::Disk => scripts::disk(terminal, context),
            Self::Load => scripts::load(terminal, context),
            Self::Pod => scripts::pod(terminal, context),
            Self::Command => scripts::command(terminal),
            Self::Visit => scripts::visit(terminal, context),
            Self::Aftermath => scripts::aftermath(terminal, context),
        }
    }
}
