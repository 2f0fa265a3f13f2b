"""Who a worker is to Kafka: an identity that survives a restart and is no one else's.

A killed worker's open transaction holds up every reader until its successor, under the same
transactional id, aborts it. So the id must be the same after a restart, and two workers that run
at once must differ: each holds the lowest free slot of its machine, by a file lock that the
system releases however the worker ends.
"""

import fcntl
import hashlib
import os
import socket
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

_SLOTS = 1024
_log = structlog.get_logger("streamscore.consumer")


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """A worker's names in Kafka; keep it for as long as they are in use.

    `group_instance_id` is set for static members only: those whose operator named the instance.
    """

    transactional_id: str
    group_instance_id: str | None
    lock: IO[bytes] | None = None

    def close(self) -> None:
        """Leave the names to a successor."""
        if self.lock is not None:
            self.lock.close()


def claim_identity(
    group: str, instance_id: str | None, worker: int, folder: Path | None = None
) -> WorkerIdentity:
    """The identity of worker number `worker` of this instance.

    With an `instance_id` the operator vouches that it is unique and stable; without one, the
    lowest free slot of this machine is taken.
    """
    if instance_id is not None:
        name = f"{group}-{instance_id}-{worker}"
        return WorkerIdentity(name, name)
    host = socket.gethostname()
    if folder is None:
        folder = Path(tempfile.gettempdir()) / f"streamscore-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        digest = hashlib.sha256(group.encode()).hexdigest()[:16]
        for slot in range(_SLOTS):
            lock = _lock(folder / f"{digest}-{slot}.lock")
            if lock is not None:
                return WorkerIdentity(f"{group}-{host}-{slot}", None, lock)
    except OSError as error:
        # A read-only machine: unique still, but a crash stalls readers until its timeout.
        _log.warning("identity_not_stable", folder=str(folder), reason=error.strerror)
    return WorkerIdentity(f"{group}-{host}-{uuid.uuid4()}", None)


def _lock(path: Path) -> IO[bytes] | None:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
