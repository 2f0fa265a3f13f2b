"""The common way to serve a model: FastAPI, a row as a DataFrame, `predict`, uvicorn.

    python plain_fastapi.py < job.json

As tutorials show it, in an `async def`: in a plain `def`, which FastAPI runs in a pool of threads,
a request took more. It knows nothing of Streamscore.
"""

import json
import sys
from typing import Any

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI


def main() -> None:
    """Serve until SIGTERM."""
    job = json.load(sys.stdin)
    model = joblib.load(job["model"])
    features = job["features"]
    app = FastAPI()

    @app.post("/predict")
    async def predict(event: dict[str, Any]) -> dict[str, float]:
        return {"prediction": float(model.predict(pd.DataFrame([event])[features])[0])}

    uvicorn.run(app, host="127.0.0.1", port=job["port"], log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
