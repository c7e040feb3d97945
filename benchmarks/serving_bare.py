"""FastAPI with uvicorn around the bare booster: a constant row for every request, neither features nor log."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: str) -> None:
    import uvicorn
    import xgboost
    from fastapi import FastAPI

    from benchmarks.serving_setup import MODEL, NAME
    from mlops_assets.use_cases.flights.request import FlightRequest

    booster = xgboost.Booster({"nthread": 1}, model_file=str(Path(folder) / MODEL))
    row = np.zeros((1, booster.num_features()), "float32")
    app = FastAPI()

    @app.post(f"/predict/{NAME}")
    async def predict(body: FlightRequest | list[FlightRequest]) -> Any:
        many = isinstance(body, list)
        rows = row.repeat(len(body), 0) if isinstance(body, list) else row
        scores = booster.inplace_predict(rows, validate_features=False).tolist()
        answers = [{"model": NAME, "probability": score} for score in scores]
        return answers if many else answers[0]

    port = int(os.environ["MLOPS_SERVE_PORT"])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1])
