//! Looking at a host: logs, disk, load.

use super::{greet, leave};
use crate::tape::reel::Reel;
use crate::tape::script::Place;

pub(in crate::tape) fn logs(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    reel.enter("journalctl -fu api -n 6 -o cat");
    let upstream = format!("pay-{}", reel.random.between(1, 3));
    let fails_from = reel.random.between(14, 22);
    for number in 0..40u64 {
        let at = place.time(reel.millis());
        let order = 480_000 + reel.random.below(20_000);
        let spent = reel.random.between(8, 60);
        let line = if number >= fails_from && number % 3 != 0 {
            format!(
                "\x1b[2m{at}\x1b[0m \x1b[1;31mERROR\x1b[0m order={order} upstream={upstream} \x1b[31mtimeout after 5000 ms\x1b[0m"
            )
        } else if number % 7 == 3 {
            format!(
                "\x1b[2m{at}\x1b[0m \x1b[1;33mWARN\x1b[0m  order={order} slow query took={}ms",
                spent * 20
            )
        } else {
            format!(
                "\x1b[2m{at}\x1b[0m \x1b[32mINFO\x1b[0m  order={order} POST /v1/orders 201 took={spent}ms"
            )
        };
        reel.lines(420, &[&line]);
    }
    reel.wait(1500);
    reel.show("^C\r\n");
    reel.show(&place.prompt());
    reel.enter(&format!(
        "curl -sS -o /dev/null -w '%{{http_code}} %{{time_total}}\\n' http://{upstream}:8080/healthz"
    ));
    reel.wait(4800);
    reel.lines(0, &["\x1b[31mcurl: (28) Operation timed out after 5001 milliseconds\x1b[0m", "000 5.001372"]);
    reel.show(&place.prompt());
    reel.enter(&format!("echo \"{upstream} drained, see on-call channel\" | wall"));
    reel.show(&place.prompt());
    leave(reel);
}

pub(in crate::tape) fn disk(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    reel.enter("df -h / /var");
    let used = reel.random.between(92, 98);
    reel.lines(
        0,
        &[
            "\x1b[1mFilesystem      Size  Used Avail Use% Mounted on\x1b[0m",
            "/dev/nvme0n1p2   40G   17G   21G  45% /",
            &format!(
                "/dev/nvme0n1p3  200G  {}G  {}G  \x1b[1;31m{used}%\x1b[0m /var",
                used * 2,
                200 - used * 2
            ),
        ],
    );
    reel.show(&place.prompt());
    reel.enter("sudo du -xh --max-depth=2 /var | sort -rh | head -6");
    reel.wait(2600);
    reel.lines(
        60,
        &[
            "188G    /var",
            "151G    /var/log",
            "149G    /var/log/api",
            "31G     /var/lib",
            "29G     /var/lib/docker",
            "2.1G    /var/cache",
        ],
    );
    reel.show(&place.prompt());
    reel.enter("ls -lhS /var/log/api | head -4");
    reel.lines(
        0,
        &[
            "total 149G",
            "-rw-r----- 1 api adm  88G api-debug.log",
            "-rw-r----- 1 api adm  41G api-debug.log.1",
            "-rw-r----- 1 api adm 9.8G api.log",
        ],
    );
    reel.show(&place.prompt());
    reel.enter("sudo truncate -s 0 /var/log/api/api-debug.log && sudo rm /var/log/api/api-debug.log.1");
    reel.wait(900);
    reel.show(&place.prompt());
    reel.enter("df -h /var | tail -1");
    reel.lines(0, &["/dev/nvme0n1p3  200G   59G  141G  \x1b[1;32m30%\x1b[0m /var"]);
    reel.show(&place.prompt());
    leave(reel);
}

pub(in crate::tape) fn load(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    reel.enter("top");
    reel.show("\x1b[?1049h\x1b[?25l");
    for frame in 0..9u64 {
        let at = place.time(reel.millis());
        let load = reel.random.between(380, 990);
        let mut screen = format!(
            "\x1b[H\x1b[2Jtop - {at} up 41 days,  2 users,  load average: {}.{:02}, 5.12, 3.80\r\n\
             Tasks: \x1b[1m214\x1b[0m total,   \x1b[1m3\x1b[0m running, 211 sleeping\r\n\
             %Cpu(s): \x1b[1m{}\x1b[0m us,  4.1 sy,  0.0 ni\r\n\
             MiB Mem :  31996.0 total,   1204.5 free,  \x1b[1m{}\x1b[0m used\r\n\r\n\
             \x1b[7m    PID USER      PR  NI    VIRT    RES S  %CPU  %MEM     TIME+ COMMAND   \x1b[0m\r\n",
            load / 100,
            load % 100,
            40 + load / 20,
            24_000 + load * 5
        );
        let rows = [
            ("api", "node", 96),
            ("postgres", "postgres", 61),
            ("root", "tailscaled", 4),
            ("api", "node", 3),
        ];
        for (row, (user, program, share)) in rows.into_iter().enumerate() {
            let cpu = share + reel.random.below(4);
            let bold = if row == 0 { "\x1b[1m" } else { "" };
            screen.push_str(&format!(
                "{bold}{:>7} {user:<9} 20   0 {:>6}m {:>5}m S {cpu:>5}.{} {:>5}.{} {:>9} {program}\x1b[0m\r\n",
                1800 + row * 311,
                2400 - row * 410,
                900 - row * 180,
                frame % 10,
                12 - row,
                row,
                format!("{}:{:02}.17", 90 - row * 20, frame * 2)
            ));
        }
        reel.show(&screen);
        reel.wait(1900);
    }
    reel.show("\x1b[?25h\x1b[?1049l");
    reel.show(&place.prompt());
    reel.enter("sudo systemctl restart api");
    reel.wait(2200);
    reel.show(&place.prompt());
    reel.enter("systemctl is-active api");
    reel.show("active\r\n");
    reel.show(&place.prompt());
    leave(reel);
}

pub(in crate::tape) fn command(reel: &mut Reel) {
    reel.wait(60);
    let days = reel.random.between(3, 90);
    reel.show(&format!(" up {days} days,  2 users,  load average: 0.42, 0.51, 0.47\n"));
}
