"""The same job as everyone writes it in PySpark first: read by JDBC, predict, append by JDBC.

    python plain_spark.py < job.json

`java_home` is a Java that Spark takes, `jar` the driver of PostgreSQL, `source` and `target` are
JDBC addresses, `model` is a file of joblib, `constants` are columns that every row gets. The time
column parts the table in two. Session and imports are not timed, native threads are left at their
default. It knows nothing of Streamscore.
"""

import json
import os
import sys
import time
from collections.abc import Iterator

import joblib
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

_BATCH = "10000"


def main() -> None:
    """Score the table once; the last line says how long that took."""
    job = json.load(sys.stdin)
    os.environ["JAVA_HOME"] = job["java_home"]
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", job["jar"])
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    began = time.perf_counter()
    score(spark, job)
    seconds = time.perf_counter() - began
    spark.stop()
    print(json.dumps({"seconds": seconds}), flush=True)


def score(spark: SparkSession, job: dict[str, str]) -> None:
    """Read, predict, append."""
    properties = {
        "user": job["user"],
        "driver": "org.postgresql.Driver",
        "fetchsize": _BATCH,
        "batchsize": _BATCH,
    }
    at = job["time_column"]
    halves = [f"{at} < '{job['middle']}'", f"{at} >= '{job['middle']}'"]
    rows = spark.read.jdbc(job["source"], job["table"], predicates=halves, properties=properties)
    file, features = job["model"], job["features"]

    def predict(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = joblib.load(file)
        for frame in frames:
            answers = model.predict(frame[features])
            yield pd.DataFrame({"event_id": frame["id"], "prediction": answers})

    scored = rows.mapInPandas(predict, "event_id string, prediction double")
    for name, value in json.loads(job["constants"]).items():
        scored = scored.withColumn(name, f.lit(value))
    scored = scored.withColumn("scored_for", f.to_date("scored_for"))
    scored = scored.withColumn("scored_at", f.current_timestamp())
    scored.write.jdbc(job["target"], "predictions", mode="append", properties=properties)


if __name__ == "__main__":
    main()
