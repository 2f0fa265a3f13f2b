"""`batch run --dry-run`: what a run would do, found out without writing anything anywhere."""

from collections import Counter
from datetime import date

from batch import runs
from batch.assembly import OUR_FOLDER, day_window, load, open_source, resolve_model, task
from batch.database import Database
from batch.days import patiently
from batch.job import check_day
from batch.runs import Task
from batch.source import Source
from batch.tables import missing_parts
from batch.work import since
from runtime.lean_pandas import import_lean_pandas
from runtime.sections import BatchSettings
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.terminal import out, plain, progress, table


def check(settings: Settings, day: date, stop: Stop) -> None:
    """Look at the target, read and validate a day, and print what a run would find and do.

    Raises as a run would, where one of the databases or the model cannot be used.
    """
    ref = resolve_model(settings)
    source = patiently(lambda: open_source(settings), settings.batch, stop)
    wanted = task(settings, ref, source, day)
    would = patiently(lambda: _would(settings, wanted, source), settings.batch, stop)
    import_lean_pandas()
    model = load(settings, ref)
    with progress(str(day), unit="rows") as bar:
        columns = source.features(model.signature)
        rows = settings.batch.chunk_rows
        window = day_window(settings, day)
        found = check_day(source, model.signature, columns, window, rows, bar)
    refused = sum(found.rejected.values())
    out().print(
        f"{day}: {found.rows:,} rows, {found.rows - refused:,} that {model.reference} takes, "
        f"{refused:,} that it does not; nothing was written"
    )
    out().print(plain(would))
    if refused:
        causes = Counter(found.rejected).most_common()
        cells = [(f"{count:,}", why.code.value, why.message) for why, count in causes]
        out().print(table(("rows", "code", "cause"), cells))


def _would(settings: Settings, wanted: Task, source: Source) -> str:
    """What a run would do, in a sentence."""
    address = settings.batch.target
    if address == BatchSettings().target and not OUR_FOLDER.is_dir():
        return "a run would make the target, and score the day"
    database = Database(address, create=True)
    if database.file is not None and not database.file.exists():
        return f"a run would make the target {database.name}, and score the day"
    with database.connect(read_only=True) as connection:
        missing, lacking = missing_parts(connection, database.name)
        known = "runs" not in missing and not lacking  # of a run before those, nothing counts
        last = runs.latest(connection, wanted) if known else None
    made = f"; it would make the tables {', '.join(missing)}" if missing else ""
    if lacking:
        made += f"; it would add to the table runs {', '.join(lacking)}"
    return f"the target {database.name} answers; {_next(last, wanted, source)}{made}"


def _next(last: runs.Run | None, wanted: Task, source: Source) -> str:
    if last is None:
        return "a run would score the day"
    by = f"{last.task.model}:{last.task.version}"
    if last.completes(wanted):
        more = source.count(wanted.window) - last.rows_read
        so = f": {since(more)}" if more else ""
        return f"the day is complete already by {by}, and a run would leave it as it is{so}"
    if last.is_complete:
        changed = (
            ""
            if last.task.digest == wanted.digest
            else ", of another query, other columns or another zone"
        )
        return f"the day is complete by {by}{changed}; a run would score it anew"
    if last.task == wanted:
        return f"a run would go on behind {last.rows_read:,} rows (the last one is {last.state})"
    return f"an unfinished run by {by} is there; a run would score the day anew"
