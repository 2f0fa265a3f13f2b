"""The same job on Apache Spark: read in parts, scored by executors, moved in by one statement."""
