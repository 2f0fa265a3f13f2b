"""The names of contestants, as rows of the results have them. Light: for what only judges."""

from typing import Final

PLAIN: Final = "scikit-learn"
BEST: Final = "auto"

PASS_NAME: Final = "pass-through, exactly once"  # noqa: S105 - no password
PLAIN_NAME: Final = f"streamscore {PLAIN}, exactly once"
BEST_NAME: Final = f"streamscore {BEST}, exactly once"
SCRIPT_NAME: Final = "first script, at least once"
QUIX_BATCH_NAME: Final = "quix batch, at least once"

BATCH_BEST: Final = f"streamscore {BEST}"
BATCH_PLAIN: Final = f"streamscore {PLAIN}"
BATCH_UNSCORED: Final = "read and written, not scored"
BATCH_PANDAS: Final = "pandas: read_sql, predict, to_sql"
BATCH_SPARK: Final = "plain PySpark, local[2]"
BATCH_AGAIN: Final = f"streamscore {BEST}, complete already"

ONLINE_BEST: Final = f"streamscore {BEST}"
ONLINE_PLAIN: Final = f"streamscore {PLAIN}"
ONLINE_CONSTANT: Final = "the same server, a constant for the model"
ONLINE_FASTAPI: Final = "FastAPI, DataFrame([row]), predict"
ONLINE_MLSERVER: Final = "MLServer, adaptive batching"
ONLINE_BENTOML: Final = "BentoML, adaptive batching"
ONLINE_MANY: Final = "64 connections"
ONLINE_ONE: Final = "1 connection"
ONLINE_LISTS: Final = "1,000 events a body"
ONLINE_BROKEN: Final = "20 connections of broken events among 640"
