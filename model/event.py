"""An event as bytes: what senders and tests write. Light: no model library is needed to send."""

from collections.abc import Mapping

import orjson


def encode_event(event: Mapping[str, object]) -> bytes:
    """An event as it stands on a topic: a JSON object in UTF-8, NaN as null.

    Raises:
        TypeError: the event holds something that JSON has no form for.

    """
    return orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)
