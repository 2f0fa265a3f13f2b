"""What the figures were measured on: the machine and the versions."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from confluent_kafka import libversion

from benchmarks.peers import PEERS
from runtime.broker_node import KAFKA_VERSION

_PACKAGES: Final = (
    *("confluent-kafka", "numpy", "pandas", "scikit-learn", "orjson", "msgspec"),
    *("fastapi", "uvicorn"),
)


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, kernel, the day."""
    return {
        "processor": _entry("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int((_entry('/proc/meminfo', 'MemTotal') or '0').split()[0]) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def describe_versions(*, own_broker: bool) -> dict[str, str]:
    """Python, the broker, and the packages that the figures depend on."""
    broker = f"{KAFKA_VERSION} (embedded)" if own_broker else "a given broker"
    return {
        "Python": platform.python_version(),
        "Apache Kafka": broker,
        "librdkafka": libversion()[0],
        **{name: version(name) for name in _PACKAGES},
        **{peer.package: peer.version for peer in PEERS},
    }


def _entry(file: str, name: str) -> str | None:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
