"""The events stream as Flink SQL through PyFlink: an own cluster in one process, all in Java.

Does: parse JSON, the contract's checks as WHERE, SHA-256 of the e-mail, first row of each id (state
for a day), windows of five minutes with their count and sum, checkpoints every ten seconds. Is
spared: refused rows and why, undeclared keys of `properties`, HMAC (no key), the distinct users of a
window, rows that are late, and the rows themselves (they go to the `blackhole`, not to files or a
table); aggregates go to JSON files.

    flink_sql_events.py BROKERS TOPIC OUT SECONDS_OF_DISORDER CONNECTOR_JAR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment

UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def main(brokers: str, topic: str, out: str, disorder: str, jar: str) -> None:
    """Run to the topic's end as it is now, and print how many rows the windows hold."""
    options = Configuration()
    options.set_string("pipeline.jars", Path(jar).resolve().as_uri())
    options.set_string("parallelism.default", "2")
    options.set_string("execution.checkpointing.interval", "10 s")
    options.set_string("state.checkpoints.dir", Path(out, "checkpoints").resolve().as_uri())
    options.set_string("restart-strategy.type", "none")
    options.set_string("table.exec.state.ttl", "1 d")
    options.set_string("table.local-time-zone", "UTC")
    options.set_string("pipeline.object-reuse", "true")
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(options)
    tables = TableEnvironment.create(settings.build())
    tables.execute_sql(f"""
        CREATE TABLE messages (
            event_id STRING, event_time TIMESTAMP_LTZ(3), user_id STRING, event_type STRING,
            properties ROW<country STRING, email STRING, ip STRING, amount DOUBLE, page STRING>,
            arrived AS PROCTIME(),
            WATERMARK FOR event_time AS event_time - INTERVAL '{disorder}' SECOND
        ) WITH (
            'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
            'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
            'format' = 'json', 'json.ignore-parse-errors' = 'true',
            'json.timestamp-format.standard' = 'ISO-8601'
        )""")
    tables.execute_sql(f"""
        CREATE VIEW events AS
        SELECT event_id, event_time, user_id, event_type, properties.country AS country,
            SHA256(properties.email) AS email, properties.amount AS amount, properties.page AS page
        FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS copy
            FROM messages
            WHERE REGEXP(event_id, '{UUID}') AND event_time IS NOT NULL AND event_type IS NOT NULL
        ) WHERE copy = 1""")
    tables.execute_sql("""
        CREATE TABLE kept (
            event_id STRING, event_time TIMESTAMP_LTZ(3), user_id STRING, event_type STRING,
            country STRING, email STRING, amount DOUBLE, page STRING
        ) WITH ('connector' = 'blackhole')""")
    tables.execute_sql(f"""
        CREATE TABLE events_5min (
            window_start TIMESTAMP(3), event_type STRING, events BIGINT, amount DOUBLE
        ) WITH ('connector' = 'filesystem', 'path' = '{Path(out, "windows").resolve().as_uri()}',
            'format' = 'json')""")
    both = tables.create_statement_set()
    both.add_insert_sql("INSERT INTO kept SELECT * FROM events")
    both.add_insert_sql("""
        INSERT INTO events_5min
        SELECT window_start, event_type, COUNT(*), SUM(amount)
        FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' MINUTES))
        GROUP BY window_start, window_end, event_type""")
    both.execute().wait()
    lines = (line for file in Path(out, "windows").glob("part-*") for line in file.open())
    print(json.dumps({"rows": {"kept": sum(json.loads(line)["events"] for line in lines)}}))


if __name__ == "__main__":
    main(*sys.argv[1:6])
