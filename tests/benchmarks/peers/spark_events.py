"""The reference job in PySpark, local[2]: `python spark_events.py FILE OUT`.

As in `duckdb_events.py`, whose list of what is spared holds here too. Besides, Spark has no
function that replaces a key of JSON text: the e-mail is replaced as a string, which is less work.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

KEY = b"benchmark-key-of-32-bytes-length"
OPAD, IPAD = (bytes(k ^ byte for k in KEY.ljust(64, b"\0")).hex() for byte in (0x5C, 0x36))


def main(path: str, out: str) -> None:
    """Do the job and print what it found."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "6g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "8")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    schema = T.StructType(
        [
            T.StructField("event_id", T.StringType()),
            T.StructField("event_time", T.TimestampType()),
            T.StructField("user_id", T.StringType()),
            T.StructField("event_type", T.StringType()),
            T.StructField("properties", T.StringType()),
            T.StructField("_corrupt_record", T.StringType()),
        ]
    )
    rows = spark.read.schema(schema).json(path).cache()
    refused = rows.where("_corrupt_record IS NOT NULL").select(
        F.col("_corrupt_record").alias("record"),
        F.lit("json").alias("rule"),
        F.lit("the line must be one JSON object").alias("reason"),
    )
    refused.write.mode("overwrite").parquet(f"{out}/refused")
    email = F.get_json_object("properties", "$.email")
    inner = F.sha2(F.concat(F.unhex(F.lit(IPAD)), F.encode(email, "utf-8")), 256)
    token = F.sha2(F.concat(F.unhex(F.lit(OPAD)), F.unhex(inner)), 256)
    kept = (
        rows.where("_corrupt_record IS NULL AND event_time IS NOT NULL AND event_type IS NOT NULL")
        .where(F.col("event_id").rlike("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))
        .withColumn("amount", F.get_json_object("properties", "$.amount").cast("double"))
        .withColumn("email", email)
        .withColumn("token", F.concat(F.lit("k1:"), token))
        .withColumn(
            "properties",
            F.expr(
                "CASE WHEN email IS NULL THEN properties ELSE replace(properties, "
                "concat('\"email\":\"', email, '\"'), concat('\"email\":\"', token, '\"')) END"
            ),
        )
        .drop("_corrupt_record", "email", "token")
        .dropDuplicates(["event_id"])
        .cache()
    )
    kept.drop("amount").write.mode("overwrite").option("compression", "zstd").parquet(
        f"{out}/events"
    )
    aggregate = kept.groupBy(F.window("event_time", "5 minutes").alias("w"), "event_type").agg(
        F.count("*").alias("events"),
        F.sum("amount").alias("amount"),
        F.approx_count_distinct("user_id").alias("users"),
    )
    aggregate.select("w.start", "event_type", "events", "amount", "users").write.mode(
        "overwrite"
    ).option("compression", "zstd").parquet(f"{out}/events_5min")
    found = {"read": rows.count(), "kept": kept.count(), "refused": refused.count()}
    found["duplicate"] = found["read"] - found["kept"] - found["refused"]
    spark.stop()
    print(json.dumps({"rows": found}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
