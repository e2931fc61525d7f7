//! Rolling out a release, and looking into a pod.

use super::{greet, leave};
use crate::tape::reel::Reel;
use crate::tape::script::Place;

pub(in crate::tape) fn deploy(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    let (minor, patch) = (reel.random.between(40, 62), reel.random.between(0, 9));
    let release = format!("v2.{minor}.{patch}");
    reel.enter(&format!("./deploy.sh api {release} --to prod"));
    reel.lines(
        350,
        &[&format!("\x1b[1m==> api {release} to prod\x1b[0m"), "    verifying signature … \x1b[32mok\x1b[0m"],
    );
    reel.show("    pulling image  ");
    for step in 0..=24u64 {
        let done = usize::try_from(step).unwrap_or(0);
        let bar = format!("{}{}", "█".repeat(done), "░".repeat(24 - done));
        reel.show(&format!("\r    pulling image  \x1b[36m{bar}\x1b[0m {:>3}%", step * 100 / 24));
        reel.wait(130);
    }
    reel.show("\r\n");
    for host in ["web-1", "web-2", "web-3", "web-4", "web-5", "web-6"] {
        reel.show(&format!("    {host:<8} draining … "));
        reel.wait(700);
        reel.show("restarting … ");
        reel.wait(900);
        reel.show("\x1b[32mhealthy\x1b[0m\r\n");
    }
    if reel.random.once_in(4) {
        reel.lines(600, &["\x1b[1;33m    error rate 2.1% (limit 1.0%) on web-6: rolling back\x1b[0m"]);
        reel.lines(
            900,
            &["    web-6    previous release … \x1b[32mhealthy\x1b[0m", "\x1b[1;33m==> rolled back\x1b[0m"],
        );
    } else {
        reel.lines(300, &[&format!("\x1b[1;32m==> {release} is live on 6 of 6 hosts\x1b[0m")]);
    }
    reel.show(&place.prompt());
    reel.enter("curl -s http://web-1/version");
    reel.lines(0, &[&format!("{{\"service\":\"api\",\"version\":\"{release}\"}}")]);
    reel.show(&place.prompt());
    leave(reel);
}

pub(in crate::tape) fn pod(reel: &mut Reel, _place: &Place) {
    reel.wait(300);
    reel.show("/app $ ");
    reel.enter("ls -l");
    reel.lines(
        0,
        &[
            "total 24",
            "drwxr-xr-x    2 app      app           4096 \x1b[1;34mbin\x1b[0m",
            "-rw-r--r--    1 app      app            812 config.yaml",
            "drwxr-xr-x    4 app      app           4096 \x1b[1;34mmigrations\x1b[0m",
        ],
    );
    reel.show("/app $ ");
    reel.enter("grep -n pool config.yaml");
    reel.lines(0, &["14:  \x1b[1;31mpool\x1b[0m: 20", "15:  \x1b[1;31mpool\x1b[0m_timeout: 5s"]);
    reel.show("/app $ ");
    reel.enter("wget -qO- localhost:9090/metrics | grep ^db_pool");
    reel.wait(400);
    reel.lines(0, &["db_pool_in_use 20", "db_pool_waiting 37", "db_pool_timeouts_total 1184"]);
    reel.show("/app $ ");
    reel.enter("exit");
}
