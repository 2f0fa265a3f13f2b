"""A prediction as an HTTP POST: what of it is sent. How it is sent is runtime/webhook.py."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from runtime.insistence import Allowance, Refusal
from runtime.webhook import Webhook
from subscriber.prediction import Prediction

_TRACE: Final[Mapping[str, re.Pattern[bytes]]] = {
    "traceparent": re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(rb"[ -~]{1,512}"),
}


class PredictionWebhook:
    """Posts a prediction's JSON to `url`.

    The header `Idempotency-Key` is the event's place, `topic/partition/offset` (or `request/index`
    of an HTTP request): the same each time the prediction is posted, so that the receiver can tell
    a repetition. Raises WrongUsage for an address that cannot be posted to.
    """

    def __init__(self, url: str) -> None:
        self._webhook = Webhook(url)
        self.name = self._webhook.name

    def __call__(self, prediction: Prediction, allowance: Allowance) -> Refusal | None:
        """Post once; None when the answer was 2xx."""
        return self._webhook.post(prediction.to_json(), _headers(prediction), allowance)


def _headers(prediction: Prediction) -> dict[str, str]:
    key = "/".join(quote(step, safe="") for step in prediction.source.steps)
    traces = {
        name: value.decode("ascii")
        for name, value in prediction.headers
        if value is not None and name in _TRACE and _TRACE[name].fullmatch(value)
    }
    return {"Idempotency-Key": key, **traces}
