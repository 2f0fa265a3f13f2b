"""An alert as an HTTP POST: its JSON, its key, and how long the receiver is insisted on."""

import hashlib
from typing import Any

import orjson
import structlog

from model.errors import ReactionFailed
from runtime.insistence import Allowance, GaveUp, Patience, Refusal, insist
from runtime.webhook import Webhook

_log = structlog.get_logger("streamscore.batch")


def post(receiver: Webhook, told: dict[str, Any], deadline_s: float) -> None:
    """Post an alert, again and again until the deadline. Raises ReactionFailed."""
    body = orjson.dumps(told)
    headers = {"Idempotency-Key": key(told)}

    def attempt(allowance: Allowance) -> Refusal | None:
        return receiver.post(body, headers, allowance)

    def retried(refusal: Refusal, attempts: int, pause_s: float) -> None:
        _log.warning(
            "alert_retried", reason=refusal.reason, attempt=attempts, pause_s=round(pause_s, 3)
        )

    try:
        insist(attempt, Patience(deadline_s), retried)
    except GaveUp as error:
        raise ReactionFailed(
            f"{receiver.name} did not accept the alert {error}",
            hint="mend the other side and give the same command again: the key stays the same",
        ) from None


def key(told: dict[str, Any]) -> str:
    """The same for the same condition on the same runs: a receiver takes it once."""
    first, *others = told["run_ids"]
    digest = hashlib.sha256("\0".join([told["when"], *others]).encode()).hexdigest()[:16]
    return f"{first}/{digest}"
