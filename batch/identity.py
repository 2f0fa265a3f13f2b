"""Which database and table it is, however somebody spells them: runs know their source by it.

PostgreSQL says itself who it is, by the number that its cluster was given when it was made; a
standby has its primary's. Where it may not be asked, and elsewhere, the address has to do.
"""

import ipaddress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import ProgrammingError

_PORTS: Final = {"mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
_LOCAL: Final = "localhost"

_SYSTEM: Final = text("SELECT system_identifier FROM pg_control_system()")
_SCHEMA: Final = text(
    "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE pg_class.oid = to_regclass(:name)"
)
_STORED: Final = text(
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(:name)"
)


def identify(connection: Connection, name: str) -> str:
    """The database of a connection, without secrets; `name` is that of an SQLite database."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        return name  # the real path of its file
    url = connection.engine.url
    if dialect != "postgresql":
        where = _place(url.host or _LOCAL, url.port or _PORTS.get(dialect))
        return f"{dialect}://{where}/{url.database or ''}"
    database = connection.execute(sa.select(sa.func.current_database())).scalar_one()
    try:
        with connection.begin_nested():
            return f"postgresql:{connection.execute(_SYSTEM).scalar_one()}/{database}"
    except ProgrammingError:  # no such function, or no right to call it
        info: Any = connection.connection.driver_connection
        info = getattr(info, "info", url)  # psycopg: as libpq has found it out
        return f"postgresql://{_place(info.host or _LOCAL, info.port or 5432)}/{database}"


def qualified(connection: Connection, table: str, schema: str | None) -> str:
    """A table by its schema and the name that it is stored by."""
    dialect = connection.dialect
    if dialect.name == "sqlite":
        stored = connection.execute(_STORED, {"name": table}).scalar()
        return f"{schema or 'main'}.{stored or table}"
    if schema is None and dialect.name == "postgresql":  # whichever of its path has it
        quoted = dialect.identifier_preparer.quote_identifier(table)
        schema = connection.execute(_SCHEMA, {"name": quoted}).scalar()
    return f"{schema or inspect(connection).default_schema_name or ''}.{table}".lstrip(".")


def _place(host: str, port: int | None) -> str:
    """A host and a port: of this machine, by whichever name or socket, it is one host."""
    name = host.lower().strip("[]").removesuffix(".")
    try:
        local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = name == _LOCAL or name.startswith(("/", "@"))
    name = _LOCAL if local else name
    shown = f"[{name}]" if ":" in name else name
    return shown if port is None else f"{shown}:{port}"
