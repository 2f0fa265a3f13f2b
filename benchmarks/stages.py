"""Where a worker's loop spends its time: the stages that it exports itself."""

import re
from typing import Final
from urllib.request import urlopen

_SUM: Final = re.compile(r'^streamscore_stage_seconds_sum\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
_ASK_S: Final = 5.0


def stage_us(port: int, events: int) -> dict[str, float]:
    """The microseconds per event of each stage so far, from the worker's /metrics."""
    url = f"http://127.0.0.1:{port}/metrics"
    with urlopen(url, timeout=_ASK_S) as answer:
        text = answer.read().decode()
    return {f"{stage}_us": float(seconds) / events * 1e6 for stage, seconds in _SUM.findall(text)}


def with_rest(stages: dict[str, float], rate: float) -> dict[str, float]:
    """The stages, what the loop does between them, and the whole: 1 / `rate`."""
    whole = 1e6 / rate
    return {**stages, "rest_us": whole - sum(stages.values()), "whole_us": whole}
