"""What an executor of Spark does with one part of a day: score it, and stage the answers.

A part is staged in one transaction, and once: an attempt that finds it done leaves it, one that
finds another at it waits. The bundle comes with the task and is loaded once in each process.
"""

import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import psycopg
from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb
from threadpoolctl import threadpool_limits

from batch.answers import COPIED, AnswerColumns
from batch.database import in_words
from batch.job import added, score_rows
from batch.snapshot import Row, Snapshot
from batch.spark.plan import FLOATS, loader
from batch.spark.staging import Staging
from batch.target import Chunk
from model.bundle import Model, load_bundle
from model.engines import EngineChoice
from model.errors import DatabaseError
from model.profiler import Profiler

if TYPE_CHECKING:
    from pyspark import Accumulator, Broadcast

DONE: Final = "part int, read long, scored long, rejected long"  # what a part gives to the driver


@dataclass(frozen=True, slots=True)
class ShippedBundle:
    """A bundle on its way; two of one digest are the same, so that it is loaded once."""

    digest: str
    allowed_types: tuple[str, ...]
    engine: EngineChoice
    files: "Broadcast[dict[str, bytes]]" = field(compare=False, repr=False)


@functools.lru_cache(maxsize=1)
def load_shipped(bundle: ShippedBundle) -> Model:
    """The model, proved on its golden rows as everywhere. Raises ModelError."""
    with tempfile.TemporaryDirectory(prefix="streamscore-bundle-") as folder:
        for name, content in bundle.files.value.items():
            (Path(folder) / name).write_bytes(content)
        return load_bundle(folder, allowed_types=bundle.allowed_types, engine=bundle.engine)


@dataclass(frozen=True, slots=True)
class PartTask:
    """Scores and stages a part: the function that Spark calls with the part's frames.

    `types` are PostgreSQL's numbers of the id's type and the features'; `target` has libpq's
    parameters of the predictions database, `name` is what it is called.
    """

    bundle: ShippedBundle
    types: tuple[int, ...]
    chunk_rows: int
    staging: Staging
    name: str
    target: Mapping[str, str] = field(repr=False)
    rows_done: "Accumulator[int]" = field(repr=False)

    def __call__(self, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Stage the part, and give the one row that says what it came to; nothing for no rows."""
        first = next(frames, None)
        if first is None:
            return
        part = int(first["part"].iloc[0])
        rows = PartRows(first, frames, self.types)
        with self._errors(), threadpool_limits(1):
            done = self._stage(part, rows)
        self.rows_done.add(done[0])
        yield pd.DataFrame([(part, *done)], columns=["part", "read", "scored", "rejected"])

    def _stage(self, part: int, rows: "PartRows") -> tuple[int, int, int]:
        model = load_shipped(self.bundle)
        columns = AnswerColumns(model.signature)
        with self._transaction() as cursor:
            name = self.staging.name
            own = f"INSERT INTO {name} (part) VALUES (%s) ON CONFLICT DO NOTHING"  # noqa: S608 - a name of ours
            if not cursor.execute(own, (part,)).rowcount:  # an earlier attempt got as far as this
                found = f"SELECT read, scored, rejected FROM {name} WHERE part = %s"  # noqa: S608 - as above
                read, scored, rejected = cursor.execute(found, (part,)).fetchone() or (0, 0, 0)
                return read, scored, rejected
            read, scored, profile = 0, 0, None
            profiler = Profiler(model.signature, model.baseline)
            for some in rows.chunks(self.chunk_rows):
                chunk = score_rows(model, profiler, some, read)
                profile = added(profile, chunk.profile)
                self._copy(cursor, part, chunk, columns)
                read += len(some)
                scored += len(chunk.ids)
            counts = f"UPDATE {name} SET read = %s, scored = %s, rejected = %s, profile = %s"  # noqa: S608 - as above
            came_to = (read, scored, read - scored, Jsonb(profile), part)
            cursor.execute(f"{counts} WHERE part = %s", came_to)
            return read, scored, read - scored

    def _copy(self, cursor: "Cursor[Any]", part: int, chunk: Chunk, columns: AnswerColumns) -> None:
        if chunk.answers is not None:
            into = f"COPY {self.staging.predictions} ({', '.join(COPIED)}) FROM STDIN"
            with cursor.copy(into) as copy:
                copy.write(columns.copy_text(chunk.ids, chunk.answers))
        if chunk.rejected:
            with cursor.copy(f"COPY {self.staging.rejections} FROM STDIN") as copy:
                for number, event_id, why in chunk.rejected:
                    row = (part, number, event_id, why.stage.value, why.code.value, why.message)
                    copy.write_row(row)

    @contextmanager
    def _transaction(self) -> "Iterator[Cursor[Any]]":
        connection: Connection[Any]
        with psycopg.connect(**self.target) as connection, connection.cursor() as cursor:  # type: ignore[arg-type] # libpq's parameters, all of them texts
            yield cursor

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise in_words(self.name, str(error), error.sqlstate or "") from None


class PartRows(Snapshot):
    """The rows of a part, as the plain job's driver would give them."""

    def __init__(
        self, first: pd.DataFrame, others: Iterator[pd.DataFrame], types: Sequence[int]
    ) -> None:
        self._first = first
        self._others = others
        self._loaders = [None if kind in FLOATS else loader(kind) for kind in types]
        self._last = 0

    def fetch(self, size: int) -> Iterator[list[Row]]:  # noqa: ARG002 - a frame has `size` rows
        """All rows, a frame at a time. Raises DatabaseError where their order is not the ids'."""
        yield self._rows(self._first)
        yield from map(self._rows, self._others)

    def _rows(self, frame: pd.DataFrame) -> list[Row]:
        numbers = frame["n"].tolist()
        if numbers != list(range(self._last + 1, self._last + 1 + len(numbers))):
            raise DatabaseError("the rows of a part did not come in the order of their ids")
        self._last += len(numbers)
        names = ["id", *(f"c{n}" for n in range(len(self._loaders) - 1))]
        columns = [_values(frame[n], load) for n, load in zip(names, self._loaders, strict=True)]
        return list(zip(*columns, strict=True))


def _values(column: "pd.Series[Any]", load: Any | None) -> list[Any]:  # noqa: ANN401 - of psycopg
    """Python values; missing doubles are NaN, which means the same (model/rows.py)."""
    if load is None:
        return column.tolist()
    if column.hasnans:
        return [load(text) if type(text) is str else None for text in column.tolist()]
    return list(map(load, column.tolist()))
