"""Our own HTTP service with a model that answers a constant: what serving costs without a model.

    python -m benchmarks.constant_server < job.json

Events are read, checked and answered as always; only `predict` is left out.
"""

import gc
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from model.bundle import Model
    from model.scorer import Scores
    from model.table import Table
    from runtime.settings import Settings

CONSTANT: Final = 12.5


class ConstantScorer:
    """Stands where a model's scorer does."""

    engine: Final = "constant"

    def score(self, table: "Table") -> "Scores":
        """The same for every row."""
        import numpy as np  # noqa: PLC0415 - loaded by now; not before the number of its threads is set

        from model.engines import Answers  # noqa: PLC0415
        from model.scorer import Scores  # noqa: PLC0415

        return Scores(Answers(np.full(table.rows, CONSTANT)), np.arange(table.rows), {})


def main() -> None:
    """Serve until SIGTERM, begun as `streamscore serve` is."""
    job = json.load(sys.stdin)
    gc.disable()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    from runtime.reload import load_with  # noqa: PLC0415 - after the number of threads is set
    from runtime.settings import load_settings  # noqa: PLC0415
    from serving.server import serve  # noqa: PLC0415

    def loaded(settings: "Settings", reference: str) -> "Model":
        model = load_with(settings, reference)
        return replace(model, scorer=ConstantScorer())  # type: ignore[arg-type] # it scores

    given = {"store": job["store"], "serving.port": job["port"]}
    serve(load_settings(given, environ={}, directory=Path("/dev/null")), job["reference"], loaded)


if __name__ == "__main__":
    main()
