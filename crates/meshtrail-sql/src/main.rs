//! The SQL worker, a program that only `meshtrail` starts.
//!
//! `meshtrail-sql worker SETUP` serves one query over its standard input and output, which are sockets, and exits.

use std::process::ExitCode;

use meshtrail_event::text::with_causes;
use meshtrail_sql::worker;
use meshtrail_worker::message::{Setup, VERSION};

/// Reuses the memory that queries free instead of returning it to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
meshtrail-sql answers questions in SQL for `meshtrail`, which starts it by itself, each question in a process of its own.
Keep it beside `meshtrail`, or set query.program to where it lies.

Usage: meshtrail-sql --version | --help
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["worker", setup] => match serde_json::from_str::<Setup>(setup) {
            Ok(setup) => run(&setup),
            Err(error) => fail(&format!("the setup is none: {error}")),
        },
        ["--version" | "-V"] => print(&format!("meshtrail-sql {VERSION}\n")),
        ["--help" | "-h"] => print(HELP),
        _ => fail(HELP),
    }
}

fn run(setup: &Setup) -> ExitCode {
    // The server does without them and passes that on; queries touch all of their memory.
    let _enabled = rustix::thread::disable_transparent_huge_pages(false);
    match worker::run(setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&with_causes(&error)),
    }
}

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    // The reader may have closed the pipe.
    let _written = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _written = writeln!(std::io::stderr(), "{}", text.trim_end());
    ExitCode::from(2)
}
