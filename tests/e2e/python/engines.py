"""What DuckDB and Spark answer to questions about a trail's segments, where they lie.

Usage: engines.py SEGMENTS QUESTIONS. SEGMENTS is the folder of the families; QUESTIONS a JSON list of
{"sql", "merged"}, where "merged" wants columns that only some files have. Each family is a view of its name, made
with the engine's defaults. Prints one JSON object: for each engine a list of answers, each a list of rows as objects,
with times as microseconds since 1970 and bytes in hex.
"""

import datetime
import json
import os
import sys

import duckdb
from pyspark.sql import SparkSession
from pyspark.sql.functions import unix_micros

PREFIX = "family="


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return int(value)


def families(segments):
    return sorted(name[len(PREFIX) :] for name in os.listdir(segments) if name.startswith(PREFIX))


def ask_duckdb(segments, questions):
    answers = []
    for question in questions:
        db = duckdb.connect()
        option = ", union_by_name = true" if question["merged"] else ""
        for family in families(segments):
            files = f"{segments}/{PREFIX}{family}/*/*.parquet"
            db.sql(f"create view {family} as select * from read_parquet('{files}'{option})")
        found = db.sql(question["sql"])
        times = [name for name, of in zip(found.columns, found.types) if str(of).startswith("TIMESTAMP")]
        if times:
            micros = ", ".join(f'epoch_us("{name}") as "{name}"' for name in times)
            found = db.sql(f"select * replace ({micros}) from found")
        answers.append([dict(zip(found.columns, row)) for row in found.fetchall()])
    return answers


def ask_spark(segments, questions):
    # No page for browsers, two threads and a quiet log; what is read, and how, is left as it is.
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    answers = []
    for question in questions:
        for family in families(segments):
            reader = spark.read.option("mergeSchema", "true") if question["merged"] else spark.read
            reader.parquet(f"{segments}/{PREFIX}{family}").createOrReplaceTempView(family)
        found = spark.sql(question["sql"])
        for name, of in found.dtypes:
            if of.startswith("timestamp"):
                found = found.withColumn(name, unix_micros(name))
        answers.append([row.asDict() for row in found.collect()])
    spark.stop()
    return answers


def main(segments, questions):
    with open(questions) as file:
        asked = json.load(file)
    print(json.dumps({"duckdb": ask_duckdb(segments, asked), "spark": ask_spark(segments, asked)}, default=plain))


if __name__ == "__main__":
    main(*sys.argv[1:])
