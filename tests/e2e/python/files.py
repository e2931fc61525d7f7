"""What DuckDB reads of a trail's segments, beside the running server.

Usage: files.py STORE. Prints one JSON object: events, people, and the sum of what they sent.
"""

import json
import sys

import duckdb


def main(store):
    files = f"{store}/trails/main/segments/family=flow/*/*.parquet"
    row = duckdb.sql(
        f"select count(*), count(distinct actor_login), sum(tx_bytes)::bigint from read_parquet('{files}')"
    ).fetchall()[0]
    print(json.dumps({"events": row[0], "people": row[1], "sent": row[2]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
