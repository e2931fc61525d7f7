//! Looking at a host: logs, disk, load.

use super::{greet, leave};
use crate::recording::script::ScriptContext;
use crate::recording::terminal::Terminal;

pub(in crate::recording) fn logs(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("journalctl -fu api -n 6 -o cat");
    let upstream = format!("pay-{}", terminal.random.between(1, 3));
    let fails_from = terminal.random.between(14, 22);
    for number in 0..40u64 {
        let at = context.time(terminal.millis());
        let order = 480_000 + terminal.random.below(20_000);
        let spent = terminal.random.between(8, 60);
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
        terminal.lines(420, &[&line]);
    }
    terminal.wait(1500);
    terminal.show("^C\r\n");
    terminal.show(&context.prompt());
    terminal.enter(&format!(
        "curl -sS -o /dev/null -w '%{{http_code}} %{{time_total}}\\n' http://{upstream}:8080/healthz"
    ));
    terminal.wait(4800);
    terminal
        .lines(0, &["\x1b[31mcurl: (28) Operation timed out after 5001 milliseconds\x1b[0m", "000 5.001372"]);
    terminal.show(&context.prompt());
    terminal.enter(&format!("echo \"{upstream} drained, see on-call channel\" | wall"));
    terminal.show(&context.prompt());
    leave(terminal);
}

pub(in crate::recording) fn disk(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("df -h / /var");
    let used = terminal.random.between(92, 98);
    terminal.lines(
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
    terminal.show(&context.prompt());
    terminal.enter("sudo du -xh --max-depth=2 /var | sort -rh | head -6");
    terminal.wait(2600);
    terminal.lines(
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
    terminal.show(&context.prompt());
    terminal.enter("ls -lhS /var/log/api | head -4");
    terminal.lines(
        0,
        &[
            "total 149G",
            "-rw-r----- 1 api adm  88G api-debug.log",
            "-rw-r----- 1 api adm  41G api-debug.log.1",
            "-rw-r----- 1 api adm 9.8G api.log",
        ],
    );
    terminal.show(&context.prompt());
    terminal.enter("sudo truncate -s 0 /var/log/api/api-debug.log && sudo rm /var/log/api/api-debug.log.1");
    terminal.wait(900);
    terminal.show(&context.prompt());
    terminal.enter("df -h /var | tail -1");
    terminal.lines(0, &["/dev/nvme0n1p3  200G   59G  141G  \x1b[1;32m30%\x1b[0m /var"]);
    terminal.show(&context.prompt());
    leave(terminal);
}

pub(in crate::recording) fn load(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("top");
    terminal.show("\x1b[?1049h\x1b[?25l");
    for frame in 0..9u64 {
        let at = context.time(terminal.millis());
        let load = terminal.random.between(380, 990);
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
            let cpu = share + terminal.random.below(4);
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
        terminal.show(&screen);
        terminal.wait(1900);
    }
    terminal.show("\x1b[?25h\x1b[?1049l");
    terminal.show(&context.prompt());
    terminal.enter("sudo systemctl restart api");
    terminal.wait(2200);
    terminal.show(&context.prompt());
    terminal.enter("systemctl is-active api");
    terminal.show("active\r\n");
    terminal.show(&context.prompt());
    leave(terminal);
}

pub(in crate::recording) fn command(terminal: &mut Terminal) {
    terminal.wait(60);
    let days = terminal.random.between(3, 90);
    terminal.show(&format!(" up {days} days,  2 users,  load average: 0.42, 0.51, 0.47\n"));
}
