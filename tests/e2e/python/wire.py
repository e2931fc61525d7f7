"""What a program asks over the Postgres wire with psycopg: parameters, rows as they come, cursors, JSON, and what is wrong.

Usage: wire.py PORT USER PASSWORD. Prints one JSON object.
"""

import json
import sys
import threading
from datetime import datetime, timezone

import psycopg


def main(port, user, password):
    told = {}
    address = f"host=127.0.0.1 port={port} user={user} password={password} dbname=meshtrail"
    with psycopg.connect(address, autocommit=True) as connection:
        row = connection.execute("select count(*) from flow").fetchone()
        told["flows"] = row[0]
        since = datetime(2026, 11, 20, tzinfo=timezone.utc)
        row = connection.execute(
            "select count(*) from flow where time >= %s and actor_login = %s", (since, "user-3@example.com")
        ).fetchone()
        told["of_one"] = row[0]
        row = connection.execute("select time, tx_bytes, kind from flow order by index limit 1").fetchone()
        told["types"] = [type(value).__name__ for value in row]
        told["json"] = in_json(connection)
        told["refused"] = refused(connection)
        told["wrong"] = wrong(connection)
        told["cancelled"] = cancelled(connection)
    with psycopg.connect(address) as connection:
        rows = connection.cursor().stream("select index from flow order by index")
        told["streamed"] = sum(1 for _ in rows)
    told["cursor"] = by_cursor(address)
    print(json.dumps(told))


def in_json(connection):
    """Values out of JSON, by the simple protocol and by the extended one, with the key as a parameter too."""
    sql = "select detail->>'proto', detail->'src' from event where detail ? 'src' order by index limit 1"
    rows = [connection.execute(sql, prepare=prepare, binary=prepare).fetchone() for prepare in (False, True)]
    by_key = "select leaf->'actor'->'person'->>%s::text from event where family = 'flow' order by index limit 1"
    rows.append(connection.execute(by_key, ("login",)).fetchone())
    return rows


def state(connection, sql, prepare=False):
    """The SQLSTATE of a statement that must not run, and where in it something is wrong."""
    try:
        connection.execute(sql, prepare=prepare).fetchall()
        return "ran"
    except psycopg.Error as error:
        position = error.diag.statement_position
        return error.sqlstate if position is None else [error.sqlstate, int(position)]


def refused(connection):
    """The SQLSTATE of each statement that must not run."""
    statements = (
        "drop table flow",
        "insert into flow (kind) values ('x')",
        "create external table t stored as csv location '/etc/passwd'",
        "copy flow to '/tmp/flow.csv'",
        "declare c cursor for select * from flow",
        "set datafusion.runtime.memory_limit = '90G'",
    )
    return [state(connection, sql) for sql in statements]


WRONG = (
    "selec 1",
    "select 1 from flow whree kind = 'x'",
    "select 'abc",
    "select * from flwo",
    "select kind,\n  knid from flow where kind = 'ü'",
    "select no_such(kind) from flow",
    "select 1 / 0",
    "select cast('x' as bigint)",
    "select kind, count(*) from flow",
)


def wrong(connection):
    """The SQLSTATE and the place of each question that has no answer, by both protocols."""
    return [[state(connection, sql, prepare) for prepare in (False, True)] for sql in WRONG]


ENDLESS = "select count(*) from generate_series(1, 9000000000000) a(x) where x % 7 = 9"


def cancelled(connection):
    """The SQLSTATE of what its client gave up, by hand and by a timeout, by both protocols."""
    states = []
    for prepare in (False, True):
        over = threading.Event()

        def cancel():
            # Until it has an effect: the question may not have begun.
            while not over.wait(0.2):
                connection.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        states.append(state(connection, ENDLESS, prepare))
        over.set()
        canceller.join()
    connection.execute("set statement_timeout = 300")
    states += [state(connection, ENDLESS, prepare) for prepare in (False, True)]
    connection.execute("set statement_timeout = 0")
    states.append(connection.execute("select 1").fetchone()[0])
    return states


def by_cursor(address):
    """Rows by cursors on the server: all in portions, some at a time, in both formats, and how one ends."""
    told = {}
    with psycopg.connect(address) as connection:
        for binary in (False, True):
            with connection.cursor(name="all", binary=binary) as cursor:
                cursor.itersize = 700
                cursor.execute("select index, actor_login from flow where tx_bytes >= %s order by index", (0,))
                rows = list(cursor)
            told["binary" if binary else "text"] = [len(rows), len({index for index, _ in rows}), rows[0][1]]
        with connection.cursor(name="some") as cursor:
            cursor.execute("select index from flow order by index")
            portions = [len(cursor.fetchmany(count)) for count in (1, 999, 5000, 10)]
            told["portions"] = portions
        told["scroll"] = state(connection, "declare c scroll cursor for select 1")
        connection.rollback()
        connection.execute("declare kept cursor for select index from flow")
        told["first"] = len(connection.execute("fetch 3 from kept").fetchall())
        told["again"] = state(connection, "declare kept cursor for select 1")
        told["failed"] = state(connection, "fetch 3 from kept")
        connection.rollback()
        told["ended"] = state(connection, "fetch 3 from kept")
    return told


if __name__ == "__main__":
    main(*sys.argv[1:])
