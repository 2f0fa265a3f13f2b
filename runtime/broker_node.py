"""What makes a small Kafka out of one process: its properties, its log, its command lines.

Pure: texts and lists of arguments. It must not know how the process is started or ended
(`runtime.broker`).
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

KAFKA_VERSION: Final = "4.3.1"
HOST: Final = "127.0.0.1"

# A single node, and a small one; its listeners and folders aside.
SINGLE_NODE: Final[Mapping[str, str]] = {
    "node.id": "1",
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "6000",  # of 9 s: so long a killed broker bars its successor
    "auto.create.topics.enable": "false",
    "log.retention.ms": "-1",  # an event of 2013 is not to expire on the day that it is sent
    "log.cleaner.dedupe.buffer.size": "16777216",  # of 128 MiB, a quarter of the heap
}

_JVM: Final = (
    "-XX:-UsePerfData",  # it writes to /tmp
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",  # or Java warns of what Kafka does
    "--enable-native-access=ALL-UNNAMED",  # as above
)
_SHORT_RUN: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_LOG4J: Final = """\
status = error
shutdownHook = disable
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:streamscore.broker.log}
appender.file.filePattern = ${sys:streamscore.broker.log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A broker that keeps everything in one folder and listens on two ports of 127.0.0.1."""

    folder: Path
    port: int
    controller_port: int
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The file that it logs to."""
        return self.folder / "broker.log"

    @property
    def is_formatted(self) -> bool:
        """Whether its folder holds a Kafka log already."""
        return (self._data / "meta.properties").exists()

    @property
    def properties(self) -> dict[str, str]:
        """Kafka's settings."""
        return {
            **SINGLE_NODE,
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "log.dirs": str(self._data),
            **self.overrides,
        }

    def write_files(self) -> None:
        """Write what the commands read."""
        lines = (f"{name}={_escaped(value)}\n" for name, value in self.properties.items())
        self._properties.write_text("".join(lines), encoding="ascii")
        self._log4j.write_text(_LOG4J, encoding="ascii")

    def format_command(self, java: Path, class_path: str) -> list[str]:
        """What must run once, before the first start."""
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        arguments = ["-t", _new_cluster_id(), "-c", str(self._properties)]
        return [*self._java(java, class_path), *_SHORT_RUN, *tool, *arguments]

    def run_command(self, java: Path, class_path: str, *, heap_mib: int) -> list[str]:
        """What runs the broker."""
        heap = f"-Xmx{heap_mib}m"
        return [*self._java(java, class_path), heap, "kafka.Kafka", str(self._properties)]

    @property
    def _data(self) -> Path:
        return self.folder / "kafka"

    @property
    def _properties(self) -> Path:
        return self.folder / "broker.properties"

    @property
    def _log4j(self) -> Path:
        return self.folder / "broker-log4j2.properties"

    def _java(self, java: Path, class_path: str) -> list[str]:
        log = f"-Dstreamscore.broker.log={self.log}"
        log4j = f"-Dlog4j2.configurationFile={self._log4j}"
        return [str(java), *_JVM, log, log4j, "-cp", class_path]


def _escaped(value: str) -> str:
    """The value as a line of a Java properties file takes it."""
    ascii_only = value.replace("\\", "\\\\").replace("\n", "\\n").encode("utf-16-be")
    units = (int.from_bytes(ascii_only[i : i + 2]) for i in range(0, len(ascii_only), 2))
    text = "".join(chr(unit) if unit < 128 else f"\\u{unit:04x}" for unit in units)  # noqa: PLR2004 - ASCII
    return f"\\{text}" if text.startswith(" ") else text


def _new_cluster_id() -> str:
    # 16 bytes as Kafka writes them; the first must not look like a flag to its tool.
    return base64.urlsafe_b64encode(b"ss" + secrets.token_bytes(14)).decode().rstrip("=")
