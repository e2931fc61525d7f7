//! Querying a database.

use super::{greet, leave};
use crate::recording::script::ScriptContext;
use crate::recording::terminal::Terminal;

/// A table as psql prints it.
pub(super) fn table(terminal: &mut Terminal, heads: &[&str], rows: &[Vec<String>]) {
    let cell = |row: &[String], at: usize| row.get(at).map_or(0, |text| text.chars().count());
    let widths: Vec<usize> = (0..heads.len())
        .map(|at| rows.iter().map(|row| cell(row, at)).chain([heads[at].chars().count()]).max().unwrap_or(0))
        .collect();
    let line: Vec<String> =
        heads.iter().zip(&widths).map(|(head, width)| format!(" {head:^width$} ")).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    terminal.lines(0, &[&line.join("|"), &rule.join("+")]);
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(text, width)| format!(" {text:<width$} ")).collect();
        terminal.lines(12, &[&line.join("|")]);
    }
    terminal.lines(0, &[&format!("({} rows)", rows.len()), ""]);
}

pub(in crate::recording) fn database(terminal: &mut Terminal, context: &ScriptContext) {
    greet(terminal, context);
    terminal.enter("psql -U app shop");
    terminal.wait(300);
    terminal.lines(0, &["psql (17.6)", "Type \"help\" for help.", ""]);
    let prompt = "shop=> ";
    terminal.show(prompt);
    terminal.enter("select state, count(*), max(now() - created) as oldest from orders where created > now() - interval '1 day' group by 1 order by 2 desc;");
    terminal.wait(1300);
    let number = |terminal: &mut Terminal, low, high| terminal.random.between(low, high).to_string();
    let rows =
        [("delivered", "23:58:11"), ("paid", "07:12:40"), ("waiting", "05:31:02"), ("refunded", "19:44:57")];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .enumerate()
        .map(|(at, (state, oldest))| {
            let most = 90_000 >> (at * 2);
            vec![state.to_owned(), number(terminal, most / 2, most), oldest.to_owned()]
        })
        .collect();
    table(terminal, &["state", "count", "oldest"], &rows);
    terminal.show(prompt);
    terminal.enter(
        "select pid, wait_event, left(query, 44) as query from pg_stat_activity where state = 'active';",
    );
    terminal.wait(400);
    let rows: Vec<Vec<String>> = [
        ("Lock", "update stock set held = held + 1 where sku ="),
        ("Lock", "update stock set held = held + 1 where sku ="),
        ("", "vacuum (analyze) public.stock"),
    ]
    .into_iter()
    .map(|(wait, query)| vec![number(terminal, 4000, 30_000), wait.to_owned(), query.to_owned()])
    .collect();
    table(terminal, &["pid", "wait_event", "query"], &rows);
    terminal.show(prompt);
    terminal.enter(&format!("select pg_cancel_backend({});", rows[2][0]));
    terminal.wait(200);
    table(terminal, &["pg_cancel_backend"], &[vec!["t".to_owned()]]);
    terminal.show(prompt);
    terminal.enter("\\q");
    terminal.show(&context.prompt());
    leave(terminal);
}
