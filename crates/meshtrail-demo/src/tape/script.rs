//! Which scripts there are, and what each needs to know of its place.

use super::reel::{Reel, Screen};
use super::scripts;

/// What somebody does in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Rolls out a release.
    Deploy,
    /// Follows a service's log until the cause is found.
    Logs,
    /// Asks a database why orders are late.
    Database,
    /// Changes a configuration file in an editor.
    Editor,
    /// Finds what fills a disk.
    Disk,
    /// Looks at a host's load.
    Load,
    /// Looks into a pod.
    Pod,
    /// Runs one command without a terminal.
    Command,
    /// The night's visit to the database.
    Visit,
    /// Sees in the morning what happened at night.
    Aftermath,
}

/// Where a script plays.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The account.
    pub(crate) account: String,
    /// The machine's short name.
    pub(crate) host: String,
    /// The date as programs print it, `Nov 14`.
    pub(crate) date: String,
    /// Hour and minute at the start.
    pub(crate) clock: (u64, u64),
    /// The address that the person came from.
    pub(crate) from: String,
}

impl Place {
    /// The prompt of an ordinary shell.
    pub(crate) fn prompt(&self) -> String {
        let sign = if self.account == "root" { '#' } else { '$' };
        format!("\x1b[1;32m{}@{}\x1b[0m:\x1b[1;34m~\x1b[0m{sign} ", self.account, self.host)
    }

    /// The time of day so many milliseconds after the start.
    pub(crate) fn time(&self, millis: u64) -> String {
        let seconds = self.clock.0 * 3600 + self.clock.1 * 60 + millis / 1000;
        format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

impl Script {
    /// The scripts of an ordinary day.
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

    /// The command, where it is one and no shell.
    pub(crate) fn command(self, turn: u64) -> Option<&'static str> {
        const COMMANDS: [&str; 6] = [
            "uptime",
            "systemctl is-active api payments",
            "df -h /",
            "tar czf - /etc/nginx",
            "journalctl -u api --since -15m --no-pager",
            "cat /etc/os-release",
        ];
        match self {
            Self::Command => Some(COMMANDS[usize::try_from(turn).unwrap_or(0) % COMMANDS.len()]),
            Self::Pod => Some("sh"),
            _ => None,
        }
    }

    /// Plays it.
    pub(crate) fn play(self, reel: &mut Reel, place: &Place) {
        match self {
            Self::Deploy => scripts::deploy(reel, place),
            Self::Logs => scripts::logs(reel, place),
            Self::Database => scripts::database(reel, place),
            Self::Editor => scripts::editor(reel, place),
            Self::Disk => scripts::disk(reel, place),
            Self::Load => scripts::load(reel, place),
            Self::Pod => scripts::pod(reel, place),
            Self::Command => scripts::command(reel),
            Self::Visit => scripts::visit(reel, place),
            Self::Aftermath => scripts::aftermath(reel, place),
        }
    }
}
