//! Asking a database.

use super::{greet, leave};
use crate::tape::reel::Reel;
use crate::tape::script::Place;

/// A table as psql prints it.
pub(super) fn table(reel: &mut Reel, heads: &[&str], rows: &[Vec<String>]) {
    let cell = |row: &[String], at: usize| row.get(at).map_or(0, |text| text.chars().count());
    let widths: Vec<usize> = (0..heads.len())
        .map(|at| rows.iter().map(|row| cell(row, at)).chain([heads[at].chars().count()]).max().unwrap_or(0))
        .collect();
    let line: Vec<String> =
        heads.iter().zip(&widths).map(|(head, width)| format!(" {head:^width$} ")).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    reel.lines(0, &[&line.join("|"), &rule.join("+")]);
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(text, width)| format!(" {text:<width$} ")).collect();
        reel.lines(12, &[&line.join("|")]);
    }
    reel.lines(0, &[&format!("({} rows)", rows.len()), ""]);
}

pub(in crate::tape) fn database(reel: &mut Reel, place: &Place) {
    greet(reel, place);
    reel.enter("psql -U app shop");
    reel.wait(300);
    reel.lines(0, &["psql (17.6)", "Type \"help\" for help.", ""]);
    let prompt = "shop=> ";
    reel.show(prompt);
    reel.enter("select state, count(*), max(now() - created) as oldest from orders where created > now() - interval '1 day' group by 1 order by 2 desc;");
    reel.wait(1300);
    let number = |reel: &mut Reel, low, high| reel.random.between(low, high).to_string();
    let rows =
        [("delivered", "23:58:11"), ("paid", "07:12:40"), ("waiting", "05:31:02"), ("refunded", "19:44:57")];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .enumerate()
        .map(|(at, (state, oldest))| {
            let most = 90_000 >> (at * 2);
            vec![state.to_owned(), number(reel, most / 2, most), oldest.to_owned()]
        })
        .collect();
    table(reel, &["state", "count", "oldest"], &rows);
    reel.show(prompt);
    reel.enter(
        "select pid, wait_event, left(query, 44) as query from pg_stat_activity where state = 'active';",
    );
    reel.wait(400);
    let rows: Vec<Vec<String>> = [
        ("Lock", "update stock set held = held + 1 where sku ="),
        ("Lock", "update stock set held = held + 1 where sku ="),
        ("", "vacuum (analyze) public.stock"),
    ]
    .into_iter()
    .map(|(wait, query)| vec![number(reel, 4000, 30_000), wait.to_owned(), query.to_owned()])
    .collect();
    table(reel, &["pid", "wait_event", "query"], &rows);
    reel.show(prompt);
    reel.enter(&format!("select pg_cancel_backend({});", rows[2][0]));
    reel.wait(200);
    table(reel, &["pg_cancel_backend"], &[vec!["t".to_owned()]]);
    reel.show(prompt);
    reel.enter("\\q");
    reel.show(&place.prompt());
    leave(reel);
}
