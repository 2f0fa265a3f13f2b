"""Where a PostgreSQL server is, for programs that do not ask libpq: found out from a connection.

What libpq adds to an address (from PGPASSWORD, a password file, a service file) is in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection

from model.errors import WrongUsage

APPLICATION: Final = "streamscore-spark"  # what the server calls those who read

# What both libpq and the JDBC driver know, by the driver's name for it.
_SHARED: Final = {
    "channel_binding": "channelBinding",
    "connect_timeout": "connectTimeout",
    "gssencmode": "gssEncMode",
    "options": "options",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslmode": "sslmode",
    "sslpassword": "sslpassword",
    "sslrootcert": "sslrootcert",
}
_OF_THIS_MACHINE: Final = frozenset({"service", "servicefile", "passfile"})  # resolved already


@dataclass(frozen=True, slots=True)
class Address:
    """The parameters of a connection by libpq's names, the password among them: never shown."""

    parameters: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, connection: Connection) -> "Address":
        """That of an open connection."""
        driver: Any = connection.connection.driver_connection
        info = driver.info
        given = {k: v for k, v in info.get_parameters().items() if k not in _OF_THIS_MACHINE}
        where = {"host": info.host, "port": str(info.port), "dbname": info.dbname}
        who = {"user": info.user, "password": info.password}
        return cls({**given, **where, **{name: value for name, value in who.items() if value}})

    def jdbc_url(self) -> str:
        """The address as Java's driver takes it, without anything secret.

        Raises WrongUsage where the server is reached by a Unix socket, which Java does not know.
        """
        host = self.parameters["host"]
        if host.startswith(("/", "@")):
            msg = f"Spark cannot reach PostgreSQL by the Unix socket in {host}"
            raise WrongUsage(msg, hint="name its host and port: postgresql://user@host:5432/name")
        shown = f"[{host}]" if ":" in host else host
        name = quote(self.parameters["dbname"], safe="")
        return f"jdbc:postgresql://{shown}:{self.parameters['port']}/{name}"

    def jdbc_properties(self) -> dict[str, str]:
        """User, password, and how the connection is to be secured."""
        given = self.parameters
        properties = {ours: given[theirs] for theirs, ours in _SHARED.items() if theirs in given}
        if properties.get("sslrootcert") == "system":
            del properties["sslrootcert"]
            properties["sslfactory"] = "org.postgresql.ssl.DefaultJavaSSLFactory"
        secrets = {name: given[name] for name in ("user", "password") if name in given}
        return {
            "driver": "org.postgresql.Driver",
            "ApplicationName": APPLICATION,
            "tcpKeepAlive": "true",
            **properties,
            **secrets,
        }
