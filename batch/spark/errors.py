"""What failed in Spark, in our own words.

An exception comes from an executor as a text; ours among them, and those of PostgreSQL's driver
for Java, are made into what they were.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from batch.database import in_words
from model import errors
from model.errors import SparkError, StreamscoreError

_OURS: Final = re.compile(r"^(?:[\w.]+\.)?errors\.(\w+): (.+)$", re.MULTILINE)
_OF_JDBC: Final = re.compile(r"org\.postgresql\.util\.PSQLException: (.+)")
_OF_PYTHON: Final = re.compile(r"^(?!\s|org\.|java\.)([\w.]+(?:Error|Exception)): ", re.MULTILINE)
_NO_MODULE: Final = re.compile(r"^ModuleNotFoundError: No (module named '[\w.]+')", re.MULTILINE)
_HINT: Final = "nothing of the day was written; the next run does all of it"


@contextmanager
def spark_errors(source: str) -> Iterator[None]:
    """Turn the block's errors of Spark into ours; `source` is what the source is called."""
    from py4j.protocol import Py4JError  # noqa: PLC0415 - of an extra
    from pyspark.errors import PySparkException  # noqa: PLC0415 - of an extra

    try:
        yield
    except (Py4JError, PySparkException) as error:
        raise described(str(error), source) from error
    except OSError as error:  # the Java process is gone
        raise SparkError(
            f"Spark ended: {error}", hint="run it again; has the machine room?"
        ) from error


def described(text: str, source: str) -> StreamscoreError:
    """What a failure of Spark came from, as far as its text tells."""
    for name, message in reversed(_OURS.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, StreamscoreError):
            return kind(message, hint=_HINT)
    if found := _OF_JDBC.search(text):
        return in_words(source, found[1])
    if missing := _NO_MODULE.search(text):
        hint = "install it, with streamscore[batch,spark], wherever executors run"
        return SparkError(f"an executor of Spark has no {missing[1]}", hint=hint)
    # The text of an exception of a model's may quote a row: its kind alone is named.
    python = _OF_PYTHON.findall(text)
    reason = python[-1] if python else text.partition("\n")[0][:200]
    return SparkError(f"a task of Spark failed: {reason}", hint=_HINT)
