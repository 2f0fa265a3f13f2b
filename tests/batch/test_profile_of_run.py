"""The profile that a run keeps: moved on with each chunk, so that a resumed run has all of it."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from batch.assembly import build_job, load, open_source, open_target, resolve_model, task
from batch.tables import runs
from model.errors import RunStopped
from model.profile import from_json
from runtime.settings import Settings
from tests.batch.filled import DAY, ROWS, fill
from tests.batch.watching import Nobody


def profile(settings: Settings, day: date) -> Any:
    with open_target(settings, create=False).reading() as connection:
        kept = select(runs.c.profile).where(runs.c.scored_for == day)
        return connection.execute(kept).scalar_one()


def test_a_run_that_goes_on_has_the_profile_of_one_that_never_stopped(tmp_path: Path) -> None:
    """Given a stop after each chunk, then all counts are the same, sums but for rounding."""
    settings = fill(tmp_path, "classification", days=1)
    whole = profile(settings, DAY)
    with open_target(settings).database.connect() as connection, connection.begin():
        connection.execute(delete(runs))
    source, target, ref = open_source(settings), open_target(settings), resolve_model(settings)
    job = build_job(settings, source, target, load(settings, ref), lambda: True)

    for _ in range(-(-ROWS // settings.batch.chunk_rows)):
        with pytest.raises(RunStopped):
            job.score_day(task(settings, ref, source, DAY), Nobody())
    build_job(settings, source, target, load(settings, ref), lambda: False).score_day(
        task(settings, ref, source, DAY), Nobody()
    )

    assert_same(profile(settings, DAY), whole)
    read = from_json(whole)
    assert read is not None
    assert (read.given, read.scored) == (ROWS - 3, ROWS - 3)


def assert_same(a: Any, b: Any) -> None:
    """Equal but for the rounding of sums: the chunks of a resumed run begin elsewhere."""
    if isinstance(a, dict):
        assert_same(list(a), list(b))
        assert_same(list(a.values()), list(b.values()))
    elif isinstance(a, list):
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    else:
        assert a == (pytest.approx(b) if isinstance(b, float) else b)
