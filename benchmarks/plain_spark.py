"""The same job as everyone writes it in PySpark first: read by JDBC, predict, append by JDBC.

    python plain_spark.py < job.json

`java_home` is a Java that Spark takes, `jar` the driver of PostgreSQL, `url` a JDBC address with
its `user` and `password`, `model` a file of skops. The time column, between `lower` and `upper`,
parts the `source` table in two. Appends `id` and `prediction` to the `target` table; native
threads are left at their default. It knows nothing of Streamscore.
"""

import json
import os
import sys
from collections.abc import Iterator

import pandas as pd
import skops.io
from pyspark.sql import SparkSession


def main() -> None:
    """Score the table once; the last line says how many rows it wrote."""
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
    print('{"event": "worker_started"}', file=sys.stderr, flush=True)
    properties = {
        "user": job["user"],
        "password": job["password"],
        "driver": "org.postgresql.Driver",
        "fetchsize": "10000",
    }
    parted = {
        "url": job["url"],
        "dbtable": job["source"],
        "partitionColumn": job["time_column"],
        "lowerBound": job["lower"],
        "upperBound": job["upper"],
        "numPartitions": "2",
    }
    rows = spark.read.format("jdbc").options(**properties, **parted).load()
    file, features = job["model"], job["features"]

    def predict(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
        for frame in frames:
            answers = model.predict(frame[features])
            yield pd.DataFrame({"id": frame["id"], "prediction": answers})

    scored = rows.mapInPandas(predict, "id string, prediction double")
    scored.write.jdbc(job["url"], job["target"], mode="append", properties=properties)
    written = spark.read.jdbc(job["url"], job["target"], properties=properties).count()
    print(json.dumps({"rows": written}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
