"""Counts the same events again and again while others hand in more: in a transaction, in one statement, and on their own.

Usage: moments.py PORT USER PASSWORD ROUNDS. Prints one JSON object.
"""

import json
import sys

import psycopg

PAIR = "select (select count(*) from flow) as one, (select count(*) from event where family = 'flow') as other"


def main(port, user, password, rounds):
    address = f"host=127.0.0.1 port={port} user={user} password={password} dbname=meshtrail"
    told = {"torn": [], "moved": [], "alone": []}
    with psycopg.connect(address) as connection:
        for turn in range(int(rounds)):
            pair = connection.execute(PAIR, prepare=turn % 2 == 0).fetchone()
            if pair[0] != pair[1]:
                told["torn"].append(pair)
            counts = {pair[0]}
            for prepare in (False, True):
                counts.add(connection.execute("select count(*) from flow", prepare=prepare).fetchone()[0])
            if len(counts) != 1:
                told["moved"].append(sorted(counts))
            connection.commit()
    with psycopg.connect(address, autocommit=True) as connection:
        for _ in range(int(rounds)):
            told["alone"].append(connection.execute("select count(*) from flow").fetchone()[0])
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
