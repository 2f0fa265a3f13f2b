"""A predictions database with some days in it, scored by the real job: for the report's tests."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from batch.assembly import build_job, load, open_source, open_target, resolve_model, task
from batch.database import Database
from model.bundle import save_bundle
from runtime.settings import Settings, load_settings
from tests.batch.watching import Nobody

DAY = date(2013, 12, 17)
GAP = date(2013, 12, 15)  # no run
ROWS = 300  # of each day
HOSTILE = "<script>alert('x')</script>"
HOSTILE_ID = '"><img src=x onerror=alert(1)>'
CARRIERS = ("UA", "AA", HOSTILE, "$x^{2$ & co")


def rows(day: date, seed: int) -> pd.DataFrame:
    """A day's rows; outcomes are known of earlier days alone."""
    drawn = np.random.default_rng(seed)
    carrier = drawn.choice(CARRIERS, ROWS, p=[0.4, 0.3, 0.2, 0.1])
    delay = drawn.normal(10, 5, ROWS)
    late = delay + drawn.normal(0, 3, ROWS)
    frame = pd.DataFrame(
        {
            "id": [f"{day}-{number:04}" for number in range(ROWS)],
            "at": f"{day} 12:00:00",
            "carrier": carrier,
            "delay": delay,
            "outcome": late,
            "label": np.where(late > 15, "late", "on time"),
        }
    )
    if day == DAY:
        frame[["outcome", "label"]] = None
        frame.loc[0, "id"] = HOSTILE_ID
        frame.loc[0, "delay"] = 99.0
        frame.loc[1:3, "delay"] = np.nan
        frame.loc[4:, "delay"] += 8
    return frame


def fill(  # noqa: PLR0913 - what a test may want
    folder: Path,
    kind: str,
    *,
    days: int = 8,
    sources: int = 1,
    on: tuple[str, str] | None = None,
    baseline: bool = True,
) -> Settings:
    """Score the last days, all but the gap, by a new model; the settings that find all of it.

    `on` are the addresses of the source and of the predictions; files of SQLite in the folder
    without.
    """
    name = _bundle(folder / "models", kind)
    if not baseline:
        _without_baseline(folder / "models" / name / "1")
    settings = Settings()
    for number in range(sources):
        source, target = on or (
            f"sqlite:///{folder / f'source{number}.db'}",
            f"sqlite:///{folder / 'predictions.db'}",
        )
        wanted = [DAY - timedelta(days=n) for n in range(days) if DAY - timedelta(days=n) != GAP]
        for day in sorted(wanted):
            drawn = rows(day, day.toordinal() + number)
            drawn["id"] += "b" * number
            _insert(source, drawn)
        settings = _settings(folder, source, target, name, kind)
        for day in wanted:
            score(settings, day)
    return settings


def _insert(source: str, drawn: pd.DataFrame) -> None:
    database = Database(source, create=True)
    if database.dialect != "sqlite":
        drawn = drawn.assign(at=pd.to_datetime(drawn["at"]))
    types: Any = {"outcome": sa.Double(), "label": sa.Text()}  # also where none is known
    with database.engine.connect() as connection, connection.begin():
        drawn.to_sql("flights", connection, index=False, if_exists="append", dtype=types)


def _without_baseline(bundle: Path) -> None:
    """Make it a bundle as older versions wrote them."""
    (bundle / "baseline.json").unlink()
    checksums = json.loads((bundle / "checksums.json").read_bytes())
    del checksums["baseline.json"]
    (bundle / "checksums.json").write_text(json.dumps(checksums))


def score(settings: Settings, day: date) -> None:
    """Score one day."""
    source, target = open_source(settings), open_target(settings)
    target.prepare()
    ref = resolve_model(settings)
    job = build_job(settings, source, target, load(settings, ref), lambda: False)
    job.score_day(task(settings, ref, source, day), Nobody())


def _settings(folder: Path, source: str, target: str, name: str, kind: str) -> Settings:
    batch: dict[str, Any] = {
        "source": source,
        "table": "flights",
        "time_column": "at",
        "outcome_column": "label" if kind == "classification" else "outcome",
        "target": target,
        "model": name,
        "chunk_rows": 70,
    }
    flags = {"store": str(folder / "models")} | {f"batch.{key}": batch[key] for key in batch}
    return load_settings(flags, environ={}, directory=folder)


def _bundle(store: Path, kind: str) -> str:
    sample = pd.concat([rows(date(2013, 11, n), n) for n in range(1, 4)], ignore_index=True)
    inputs = sample[["carrier", "delay"]]
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"
    )
    estimator: Any
    match kind:
        case "outlier":
            inputs = inputs[["delay"]]
            forest = IsolationForest(n_estimators=10, contamination=0.05, random_state=0)
            estimator = forest.fit(inputs)
        case "classification":
            logistic = LogisticRegression(max_iter=1000)
            estimator = make_pipeline(encoder, logistic).fit(inputs, sample["label"])
        case _:
            estimator = make_pipeline(encoder, LinearRegression()).fit(inputs, sample["outcome"])
    at = datetime(2013, 12, 1, tzinfo=UTC)
    save_bundle(estimator, inputs, name=kind, store=store, created_at=at, metrics={"mae": 2.5})
    return kind
