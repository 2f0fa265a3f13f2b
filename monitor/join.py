"""The truth that arrives later, joined with the predictions by id: in a SQLite file.

What was read, what came of it and the offsets are committed together, so that a restart neither
loses nor doubles anything. Memory is SQLite's page cache; the file is bounded by age and by rows.

Of several predictions, or several outcomes, of one id the first one counts; later ones are
counted as duplicates. An outcome that comes before its prediction waits for it. A pair belongs to
the minute of the later of its two records (their Kafka timestamps), never to the clock of a
restart. It must not know Kafka clients.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from model.errors import SettingsError
from monitor import quality
from monitor.pairs import Pair, sums_of
from monitor.quality import Sums
from monitor.records import Outcome, Prediction, key_of

MINUTE_S: Final = 60
_KEPT_MINUTES: Final = 120  # after which a minute is added to "before"
_BEFORE: Final = 0
_LOCKED_S: Final = 2.0
_LARGEST: Final = 2**53
_STEP: Final = 10_000  # rows deleted at once: no long pause

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS predictions (id TEXT PRIMARY KEY, at REAL, version TEXT, answer ANY,
  probabilities TEXT, joined INT) WITHOUT ROWID, STRICT;
CREATE INDEX IF NOT EXISTS predictions_at ON predictions (at);
CREATE TABLE IF NOT EXISTS early (id TEXT PRIMARY KEY, at REAL, outcome ANY) WITHOUT ROWID, STRICT;
CREATE INDEX IF NOT EXISTS early_at ON early (at);
CREATE TABLE IF NOT EXISTS minutes (version TEXT, minute INT, predicted INT, covered INT,
  sums TEXT, PRIMARY KEY (version, minute)) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS offsets (topic TEXT, number INT, next INT,
  PRIMARY KEY (topic, number)) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INT) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID, STRICT;
"""

Offsets = Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Minute:
    """What is known of a version in a minute: its predictions and, by joining time, its sums."""

    version: str
    minute: int
    predicted: int
    covered: int
    sums: Sums


class Join:
    """The state of a monitor, for one thread; `path` may be ":memory:"."""

    def __init__(self, path: Path | str, *, keep_s: float, keep_rows: int) -> None:
        self._keep_s, self._keep_rows = keep_s, keep_rows
        try:
            if str(path) != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_LOCKED_S)
            self._db.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;"
                "PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE;" + _TABLES + "COMMIT;"
            )
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"the monitor's state {path} cannot be used: {error}",
                hint="does another monitor use it? name another with monitor.state, or delete it",
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin(self) -> None:
        """Begin what `commit` ends."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self, offsets: Offsets) -> None:
        """Commit all since `begin` together with the next offsets to read."""
        self._db.executemany(
            "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)",
            [(topic, number, at) for (topic, number), at in offsets.items()],
        )
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo all since `begin`."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def offsets(self) -> dict[tuple[str, int], int]:
        """The next offset to read, by topic and partition."""
        rows = self._db.execute("SELECT topic, number, next FROM offsets")
        return {(topic, number): at for topic, number, at in rows}

    def count(self, name: str, by: int = 1) -> None:
        """Add to a count that survives restarts."""
        self._db.execute(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + ?",
            (name, by, by),
        )

    def counts(self) -> dict[str, int]:
        """All counts by name."""
        return dict(self._db.execute("SELECT name, value FROM counts"))

    def note(self, name: str, text: str) -> None:
        """Keep a text that survives restarts."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))

    def notes(self) -> dict[str, str]:
        """All texts by name."""
        return dict(self._db.execute("SELECT name, text FROM notes"))

    def add_predictions(self, given: Sequence[tuple[Prediction, float]]) -> list[Pair]:
        """Take predictions with their times (Unix seconds); gives those with an early outcome."""
        early = self._early([each.id for each, _ in given])
        pairs: list[Pair] = []
        counted: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for each, at in given:
            version = f"{each.model}:{each.version}"
            outcome = early.get(each.id)
            inserted = self._db.execute(
                "INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
                (each.id, at, version, _stored(each.prediction),
                 bytes(each.probabilities).decode() or None, int(outcome is not None)),
            ).rowcount  # fmt: skip
            if not inserted:
                self.count("duplicate_predictions")
                continue
            place = counted[version, int(at // MINUTE_S)]
            place[0] += 1
            if outcome is not None:
                place[1] += 1
                truth, told_at = outcome
                later = max(at, told_at)
                pairs.append(Pair(version, later, told_at - at, each.prediction, truth,
                                  each.probability_of()))  # fmt: skip
        self._db.executemany("DELETE FROM early WHERE id = ?", [(each,) for each in early])
        self._add_counted(counted)
        self._add_pairs(pairs)
        return pairs

    def add_outcomes(self, given: Sequence[tuple[Outcome, float]]) -> list[Pair]:
        """Take outcomes with their times; gives those whose prediction is there."""
        if not given:
            return []
        self.count("outcomes", len(given))
        pairs: list[Pair] = []
        counted: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for each, at in given:
            row = self._db.execute(
                "SELECT at, version, answer, probabilities, joined FROM predictions WHERE id = ?",
                (each.id,),
            ).fetchone()
            if row is None:
                waits = self._db.execute(
                    "INSERT OR IGNORE INTO early VALUES (?, ?, ?)",
                    (each.id, at, _stored(each.outcome)),
                ).rowcount
                if not waits:
                    self.count("duplicate_outcomes")
                continue
            predicted_at, version, answer, probabilities, joined = row
            if joined:
                self.count("duplicate_outcomes")
                continue
            self._db.execute("UPDATE predictions SET joined = 1 WHERE id = ?", (each.id,))
            counted[version, int(predicted_at // MINUTE_S)][1] += 1
            given_to = msgspec.json.decode(probabilities or "{}")
            later, delay_s = max(at, predicted_at), at - predicted_at
            pairs.append(Pair(version, later, delay_s, answer, each.outcome, given_to))
        self._add_counted(counted)
        self._add_pairs(pairs)
        return pairs

    def expire(self, now: float) -> None:
        """Give up what is too old, or one too many; the oldest first, some at a time."""
        for table, name in (("predictions", "id"), ("early", "id")):
            surplus = self._rows(table) - self._keep_rows
            old = self._db.execute(
                f"DELETE FROM {table} WHERE {name} IN (SELECT {name} FROM {table} "  # noqa: S608 - our own names
                "WHERE at < ? ORDER BY at LIMIT ?)",
                (now - self._keep_s, _STEP),
            ).rowcount
            if (over := min(surplus - old, _STEP)) > 0:
                old += self._db.execute(
                    f"DELETE FROM {table} WHERE {name} IN "  # noqa: S608 - as above
                    f"(SELECT {name} FROM {table} ORDER BY at LIMIT ?)",
                    (over,),
                ).rowcount
            if old:
                self.count("expired", old)
        self._merge_old(int(now // MINUTE_S) - _KEPT_MINUTES)

    def waiting(self) -> tuple[int, int]:
        """How many predictions wait for their outcome, and outcomes for their prediction."""
        unjoined = self._db.execute("SELECT count(*) FROM predictions WHERE joined = 0")
        return unjoined.fetchone()[0], self._rows("early")

    def minutes(self, since: int = 0) -> list[Minute]:
        """What is known from that minute on (minutes since 1970; 0 is all before)."""
        rows = self._db.execute("SELECT * FROM minutes WHERE minute >= ?", (since,))
        return [
            Minute(version, minute, predicted, covered, msgspec.json.decode(sums, type=Sums))
            for version, minute, predicted, covered, sums in rows
        ]

    def _rows(self, table: str) -> int:
        count: int = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
        return count

    def _early(self, ids: Iterable[str]) -> dict[str, tuple[Any, float]]:
        if not self._db.execute("SELECT 1 FROM early LIMIT 1").fetchone():
            return {}
        found = {}
        for each in ids:
            row = self._db.execute("SELECT outcome, at FROM early WHERE id = ?", (each,)).fetchone()
            if row is not None:
                found[each] = row
        return found

    def _add_counted(self, counted: Mapping[tuple[str, int], Sequence[int]]) -> None:
        for (version, minute), (predicted, covered) in counted.items():
            self._add(Minute(version, minute, predicted, covered, Sums()))

    def _add_pairs(self, pairs: Sequence[Pair]) -> None:
        self.count("joined", len(pairs))
        by_minute: dict[tuple[str, int], list[Pair]] = defaultdict(list)
        for pair in pairs:
            by_minute[pair.version, int(pair.at // MINUTE_S)].append(pair)
        for (version, minute), some in by_minute.items():
            self._add(Minute(version, minute, 0, 0, sums_of(some)))

    def _add(self, more: Minute) -> None:
        row = self._db.execute(
            "SELECT predicted, covered, sums FROM minutes WHERE version = ? AND minute = ?",
            (more.version, more.minute),
        ).fetchone()
        predicted, covered, text = row or (0, 0, "[]")
        sums = quality.total([msgspec.json.decode(text, type=Sums), more.sums])
        self._db.execute(
            "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?, ?)",
            (more.version, more.minute, predicted + more.predicted, covered + more.covered,
             msgspec.json.encode(sums).decode()),
        )  # fmt: skip

    def _merge_old(self, before: int) -> None:
        for old in self.minutes(_BEFORE + 1):
            if old.minute < before:
                self._add(Minute(old.version, _BEFORE, old.predicted, old.covered, old.sums))
                self._db.execute(
                    "DELETE FROM minutes WHERE version = ? AND minute = ?",
                    (old.version, old.minute),
                )


def _stored(value: bool | float | str) -> str | int | float:  # noqa: FBT001 - a label may be a boolean
    """As SQLite holds it: a boolean as the text that is its label, a huge number as a float."""
    if isinstance(value, bool):
        return key_of(value)
    return float(value) if isinstance(value, int) and abs(value) > _LARGEST else value
