"""A small real state: the first weeks of 2013 with every second flight, replayed by the main job itself."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from mlops_assets.flights.files import locate
from resources.settings import PROJECT_ROOT

EVERY = 2
THROUGH = "2013-02-18"
"""The eighth week: at its end flight_delay has the 56 days it asks for, and its first champion."""


def thin(folder: Path, every: int = EVERY, months: tuple[str, ...] = ("1", "2", "3")) -> Path:
    """Write the four raw files with every so-manieth flight of the first months; planes and airports whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("flights", "weather", "planes", "airports"):
        rows = pl.concat([_text(path) for path in locate(name, None)])
        if "month" in rows.columns:
            rows = rows.filter(pl.col("month").is_in(months))
        (rows.gather_every(every) if name == "flights" else rows).write_csv(folder / f"{name}.csv")
    return folder


def _text(path: Path) -> pl.DataFrame:
    if path.suffix != ".zip":
        return pl.read_csv(path, infer_schema=False)
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return pl.read_csv(archive.read(archive.namelist()[0]), infer_schema=False)


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment, pointed at a state folder."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")}
    return {**kept, "MLOPS_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT), **more}


def replayed(folder: Path) -> Path:
    """MLOPS_HOME of a replay up to THROUGH on thinned data; under a minute of one core."""
    data = thin(folder / "data")
    command = [*(sys.executable, "-m", "mlops_assets.cli", "run"), "--through", THROUGH]
    done = subprocess.run(
        [*command, "--no-compare", "--no-second-model"],
        env=environment(folder / "home", MLOPS_DATA=str(data)),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (folder / "home" / "serving" / "flight_delay.json").exists(), "no champion: " + done.stdout[-3000:]
    return folder / "home"
