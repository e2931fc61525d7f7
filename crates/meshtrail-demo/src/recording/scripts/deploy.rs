//! Rolling out a release, and looking into a pod.

use super::{greet, leave};
use crate::recording::script::ScriptContext;
use crate::recording::terminal::Terminal;

pub(in crate::recording) fn deploy(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    let (minor, patch) = (terminal.random.between(40, 62), terminal.random.between(0, 9));
    let release = format!("v2.{minor}.{patch}");
    terminal.enter(&format!("./deploy.sh api {release} --to prod"));
    terminal.lines(
        350,
        &[&format!("\x1b[1m==> api {release} to prod\x1b[0m"), "    verifying signature … \x1b[32mok\x1b[0m"],
    );
    terminal.show("    pulling image  ");
    for step in 0..=24u64 {
        let done = usize::try_from(step).unwrap_or(0);
        let bar = format!("{}{}", "█".repeat(done), "░".repeat(24 - done));
        terminal.show(&format!("\r    pulling image  \x1b[36m{bar}\x1b[0m {:>3}%", step * 100 / 24));
        terminal.wait(130);
    }
    terminal.show("\r\n");
    for host in ["web-1", "web-2", "web-3", "web-4", "web-5", "web-6"] {
        terminal.show(&format!("    {host:<8} draining … "));
        terminal.wait(700);
        terminal.show("restarting … ");
        terminal.wait(900);
        terminal.show("\x1b[32mhealthy\x1b[0m\r\n");
    }
    if terminal.random.once_in(4) {
        terminal.lines(600, &["\x1b[1;33m    error rate 2.1% (limit 1.0%) on web-6: rolling back\x1b[0m"]);
        terminal.lines(
            900,
            &["    web-6    previous release … \x1b[32mhealthy\x1b[0m", "\x1b[1;33m==> rolled back\x1b[0m"],
        );
    } else {
        terminal.lines(300, &[&format!("\x1b[1;32m==> {release} is live on 6 of 6 hosts\x1b[0m")]);
    }
    terminal.show(&context.prompt());
    terminal.enter("curl -s http://web-1/version");
    terminal.lines(0, &[&format!("{{\"service\":\"api\",\"version\":\"{release}\"}}")]);
    terminal.show(&context.prompt());
    leave(terminal);
}

pub(in crate::recording) fn pod(terminal: &mut Terminal, _context: &ScriptContext) {
    terminal.wait(300);
    terminal.show("/app $ ");
    terminal.enter("ls -l");
    terminal.lines(
        0,
        &[
            "total 24",
            "drwxr-xr-x    2 app      app           4096 \x1b[1;34mbin\x1b[0m",
            "-rw-r--r--    1 app      app            812 config.yaml",
            "drwxr-xr-x    4 app      app           4096 \x1b[1;34mmigrations\x1b[0m",
        ],
    );
    terminal.show("/app $ ");
    terminal.enter("grep -n pool config.yaml");
    terminal.lines(0, &["14:  \x1b[1;31mpool\x1b[0m: 20", "15:  \x1b[1;31mpool\x1b[0m_timeout: 5s"]);
    terminal.show("/app $ ");
    terminal.enter("wget -qO- localhost:9090/metrics | grep ^db_pool");
    terminal.wait(400);
    terminal.lines(0, &["db_pool_in_use 20", "db_pool_waiting 37", "db_pool_timeouts_total 1184"]);
    terminal.show("/app $ ");
    terminal.enter("exit");
}
