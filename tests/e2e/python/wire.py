"""What a program asks over the Postgres wire with psycopg: parameters, rows as they come, and what must be refused.

Usage: wire.py PORT USER PASSWORD. Prints one JSON object.
"""

import json
import sys
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
        told["refused"] = refused(connection)
    with psycopg.connect(address) as connection:
        rows = connection.cursor().stream("select index from flow order by index")
        told["streamed"] = sum(1 for _ in rows)
    print(json.dumps(told))


def refused(connection):
    """The SQLSTATE of each statement that must not run."""
    states = []
    for sql in (
        "drop table flow",
        "insert into flow (kind) values ('x')",
        "create external table t stored as csv location '/etc/passwd'",
        "copy flow to '/tmp/flow.csv'",
        "declare c cursor for select * from flow",
        "set datafusion.runtime.memory_limit = '90G'",
    ):
        try:
            connection.execute(sql)
            states.append("ran")
        except psycopg.Error as error:
            states.append(error.sqlstate)
    return states


if __name__ == "__main__":
    main(*sys.argv[1:])
