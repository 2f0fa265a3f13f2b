"""Connections to databases, each with deadlines, and their failures in our own words.

Messages name a database without its password. Must not know what is read or written.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import NullPool

from model.errors import DatabaseError, DatabaseUnavailable, WrongUsage

T = TypeVar("T")

CONNECT_S: Final = 10
LOCK_S: Final = 30
STATEMENT_S: Final = 3600  # sorting a large day takes long; a server that hangs does not answer
_GONE_S: Final = 60  # until a peer that has vanished is taken for dead

_URL_HINT: Final = (
    "write it as sqlite:///file.db, sqlite:////absolute/file.db or "
    "postgresql://user:password@host:5432/database"
)
_AT_HINT: Final = (
    "write an @ in a user's name, a password or a parameter as %40 (and : as %3A, / as %2F, ? as"
    " %3F, % as %25)"
)
_DRIVERS: Final = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_POSTGRES_OPTIONS: Final = " ".join(
    f"-c {name}={seconds * 1000}"
    for name, seconds in {"lock_timeout": LOCK_S, "statement_timeout": STATEMENT_S}.items()
)


class Database:
    """One database: opened by its address, with nothing connected yet.

    `create` makes the file of an SQLite database that is not there. Raises WrongUsage for an
    address that cannot be one, or whose driver is not installed.
    """

    def __init__(self, address: str, *, create: bool = False) -> None:
        self._url = _parsed(address)
        self.dialect = self._url.get_backend_name()
        if self.dialect == "sqlite":
            _require_file(self._url, create=create)
        self.engine = _engine(self._url)

    @property
    def name(self) -> str:
        """The address without its user, its password and whatever else may be a secret."""
        if self.dialect == "sqlite":
            return f"sqlite:///{Path(self._url.database or '').resolve()}"
        url = self._url
        return URL.create(
            self.dialect, host=url.host, port=url.port, database=url.database
        ).render_as_string()

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self._url.database or "").resolve() if self.dialect == "sqlite" else None

    @contextmanager
    def connect(self, **options: Any) -> Iterator[Connection]:  # noqa: ANN401 - SQLAlchemy's own
        """A connection for the block. Raises DatabaseError for whatever SQLAlchemy raises in it."""
        with self.errors(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the block's errors of the database into ours."""
        try:
            yield
        except DBAPIError as error:
            raise self._in_words(error.orig, lost=error.connection_invalidated) from error
        except self.engine.dialect.loaded_dbapi.Error as error:  # COPY goes by the driver itself
            raise self._in_words(error, lost=False) from error
        except NoConnection as error:
            raise DatabaseUnavailable(f"{self.name} has no connection to give") from error

    def _in_words(self, error: BaseException | None, *, lost: bool) -> DatabaseError:
        state = str(getattr(error, "sqlstate", None) or "")
        return in_words(self.name, self._masked(str(error)), state, lost=lost)

    def _masked(self, text: str) -> str:
        given = [self._url.password, *map(self._url.query.get, _SECRETS)]
        secrets = [str(secret) for secret in given if secret]
        for secret in (self._url.render_as_string(hide_password=False), *secrets):
            text = text.replace(secret, "***") if secrets else text
        return text


_SECRETS: Final = ("password", "passwd", "sslpassword")  # of drivers' parameters


def in_words(name: str, said: str, state: str = "", *, lost: bool = False) -> DatabaseError:
    """What a driver said of a database, as an error of ours; `state` is the SQLSTATE, if any."""
    said = said.strip().partition("\n")[0]
    for applies, kind, hint in _KNOWN:
        if applies(state, said.lower()):
            return kind(f"{name}: {said}", hint=hint)
    return (DatabaseUnavailable if lost else DatabaseError)(f"{name}: {said}")


def _says(*parts: str) -> Callable[[str, str], bool]:
    return lambda state, text: state == "" and any(part in text for part in parts)


def _is(*states: str) -> Callable[[str, str], bool]:
    return lambda state, _: state != "" and state.startswith(states)


def _begins(with_words: str) -> Callable[[str, str], bool]:
    return lambda _, text: text.startswith(with_words)


_NO_ROOM: Final = "make room on its disk: nothing is half written, and the next run goes on"

# By SQLSTATE (PostgreSQL's manual, appendix A) or, where a driver gives none, by what it says:
# what it means, and how it is mended.
_Known = tuple[Callable[[str, str], bool], type[DatabaseError], str]
_KNOWN: Final[tuple[_Known, ...]] = (
    (
        _says("password authentication", "no password supplied", "no pg_hba.conf entry", "role "),
        DatabaseError,
        "mend the user or the password in its address (or PGPASSWORD)",
    ),
    (_says('fatal:  database "', 'fatal: database "'), DatabaseError, "mend the database's name"),
    (_is("53100"), DatabaseUnavailable, _NO_ROOM),
    (_begins("could not extend file"), DatabaseUnavailable, _NO_ROOM),  # a quota, a limit
    (_says("database or disk is full"), DatabaseUnavailable, _NO_ROOM),
    (
        _says("readonly database"),
        DatabaseError,
        "give a target that may be written to",
    ),
    (_is("25006"), DatabaseError, "give a target that may be written to"),
    (
        _is("42501"),
        DatabaseError,
        "grant SELECT on the source; on the target CREATE, or everything on its three tables",
    ),
    (
        _says("unable to open database file"),
        DatabaseError,
        "mend the path, or the rights to the file and its folder",
    ),
    (_says("file is not a database"), DatabaseError, "name a file of SQLite"),
    (_says("database is locked", "database table is locked"), DatabaseUnavailable, "try again"),
    (_is("08", "57P0", "53", "40", "55P03"), DatabaseUnavailable, "try again"),
    (_is("57014"), DatabaseUnavailable, "it took longer than the server may; try again"),
    (
        _says("connection refused", "could not translate", "failed to resolve", "timeout expired"),
        DatabaseUnavailable,
        "check its host and port, and that it is running",
    ),
    (
        _says(
            *("server closed the connection", "connection is lost", "the connection is closed"),
            *("connection failed", "connection reset", "starting up", "shutting down"),
            *("connection timeout", "consuming input failed", "sending query failed"),
        ),
        DatabaseUnavailable,
        "try again once it is there",
    ),
)


def _parsed(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        hint = f"{_URL_HINT}; {_AT_HINT}" if "@" in address else _URL_HINT
        raise WrongUsage("the address of a database cannot be read", hint=hint) from None
    # Another one: a part of the password would be taken, and shown, as the host or the database.
    has_user = url.username is not None or url.password is not None
    if url.get_backend_name() != "sqlite" and address.count("@") > has_user:
        msg = "the address of a database has an @ that does not end its user and password"
        raise WrongUsage(msg, hint=_AT_HINT)
    if url.drivername in _DRIVERS:
        url = url.set(drivername=_DRIVERS[url.drivername])
    return url


def _require_file(url: URL, *, create: bool) -> None:
    if not url.database or url.database == ":memory:":
        raise WrongUsage("an SQLite database in memory is gone at the end", hint=_URL_HINT)
    file = Path(url.database)
    if not create and not file.is_file():
        raise WrongUsage(f"there is no database {file}", hint="mend the path; see --source")
    if create and not file.parent.is_dir():
        hint = "make the folder, or mend the path"
        raise WrongUsage(f"there is no folder {file.parent} for {file.name}", hint=hint)


def _engine(url: URL) -> Engine:
    try:
        return _connecting(url)
    except (NoSuchModuleError, ArgumentError, ImportError) as error:
        missing = re.sub(r"\s+", " ", str(error))
        msg = f"the driver of {url.drivername!r} cannot be used: {missing}"
        raise WrongUsage(msg, hint="pip install 'streamscore[batch]', or your driver") from None


def _connecting(url: URL) -> Engine:
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": LOCK_S}
    elif url.get_driver_name() == "psycopg":
        arguments = {
            "connect_timeout": CONNECT_S,
            "keepalives_idle": _GONE_S // 2,
            "keepalives_interval": _GONE_S // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": _GONE_S * 1000,
            "options": f"{url.query.get('options', '')} {_POSTGRES_OPTIONS}".strip(),
            "application_name": "streamscore",
            "client_encoding": "utf8",  # whatever the server or PGCLIENTENCODING says
        }
        url = url.difference_update_query(["options", "application_name", "client_encoding"])
    engine = create_engine(url, connect_args=arguments, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        _own_transactions(engine)
    return engine


def _own_transactions(engine: Engine) -> None:
    """BEGIN IMMEDIATE: a transaction that begins by reading could not be let write later."""

    @event.listens_for(engine, "connect")
    def _connect(driver: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        driver.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("read_only")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
