//! Changing a file in an editor that takes the whole screen.

use super::{greet, leave};
use crate::recording::script::ScriptContext;
use crate::recording::terminal::Terminal;

const FILE: [&str; 16] = [
    "upstream api {",
    "    least_conn;",
    "    server web-1:8080 max_fails=3;",
    "    server web-2:8080 max_fails=3;",
    "    server web-3:8080 max_fails=3;",
    "    keepalive 32;",
    "}",
    "",
    "server {",
    "    listen 80;",
    "    client_max_body_size 2m;",
    "    location / {",
    "        proxy_pass http://api;",
    "        proxy_read_timeout 5s;",
    "    }",
    "}",
];

/// One line with the colours an editor gives it.
fn coloured(line: &str) -> String {
    let bare = line.trim_start();
    let indent = &line[..line.len() - bare.len()];
    match bare.split_once(' ') {
        Some((word, rest)) => {
            format!("{indent}\x1b[33m{word}\x1b[0m {}", rest.replace(';', "\x1b[2m;\x1b[0m"))
        }
        None => line.to_owned(),
    }
}

fn paint(terminal: &mut Terminal) {
    let mut screen = "\x1b[?1049h\x1b[2J\x1b[H".to_owned();
    for (number, line) in FILE.iter().enumerate() {
        screen.push_str(&format!("\x1b[2m{:>3}\x1b[0m {}\r\n", number + 1, coloured(line)));
    }
    for _ in FILE.len()..usize::try_from(terminal.screen.height).unwrap_or(24) - 1 {
        screen.push_str("\x1b[34m~\x1b[0m\r\n");
    }
    screen.push_str("\"/etc/nginx/conf.d/api.conf\" 16L, 318B\x1b[1;5H");
    terminal.show(&screen);
}

pub(in crate::recording) fn editor(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("sudo vim /etc/nginx/conf.d/api.conf");
    terminal.wait(300);
    paint(terminal);
    let bottom = terminal.screen.height;
    for line in 2..=14 {
        terminal.wait(130);
        terminal.show(&format!("\x1b[{line};5H"));
    }
    terminal.wait(800);
    terminal.show(&format!(
        "\x1b[{bottom};1H\x1b[K\x1b[1m-- INSERT --\x1b[0m\x1b[14;13H\x1b[K\x1b[33mproxy_read_timeout\x1b[0m "
    ));
    terminal.keys("15s;");
    terminal.wait(500);
    terminal.show("\x1b[11;5H\x1b[K    \x1b[33mclient_max_body_size\x1b[0m ");
    terminal.keys("8m;");
    terminal.wait(400);
    terminal.show(&format!("\x1b[{bottom};1H\x1b[K"));
    terminal.keys(":wq");
    terminal.wait(300);
    terminal.show("\x1b[?1049l");
    terminal.show(&context.prompt());
    terminal.enter("sudo nginx -t && sudo systemctl reload nginx");
    terminal.wait(500);
    terminal.lines(
        0,
        &[
            "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok",
            "nginx: configuration file /etc/nginx/nginx.conf test is successful",
        ],
    );
    terminal.show(&context.prompt());
    leave(terminal);
}
