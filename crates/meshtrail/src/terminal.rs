//! Raw mode: no line editing, no echo, the alternate screen; the terminal is restored at the end.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Result, bail};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

/// The terminal in raw mode; restored on drop.
pub(crate) struct RawTerminal {
    original: Termios,
}

impl RawTerminal {
    pub(crate) fn enter() -> Result<RawTerminal> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            bail!(
                "playing needs a terminal; `meshtrail sessions export` gives the recording for other players"
            );
        }
        let original = tcgetattr(io::stdin())?;
        let mut raw = original.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        let terminal = RawTerminal { original };
        io::stdout().write_all(b"\x1b[?1049h\x1b[2J\x1b[H")?;
        io::stdout().flush()?;
        Ok(terminal)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to restore.
        let _gone = io::stdout().write_all(b"\x1b[0m\x1b[?25h\x1b[?1049l");
        let _gone = io::stdout().flush();
        let _gone = tcsetattr(io::stdin(), OptionalActions::Flush, &self.original);
    }
}

/// The columns and rows of this terminal.
pub(crate) fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

/// The keys that are pressed. A thread reads them in blocking reads until the process ends.
pub(crate) fn keys() -> mpsc::Receiver<u8> {
    // The channel is full only if a key is held down while nothing is drawn; then the reader waits.
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Ok(1) = io::stdin().lock().read(&mut byte) {
            if sender.blocking_send(byte[0]).is_err() {
                return;
            }
        }
    });
    receiver
}
