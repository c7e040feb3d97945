"""The real flights with most of them left out: whole replays in seconds, in the source's own format."""

import zipfile
from pathlib import Path

import polars as pl

from mlops_assets.use_cases.flights.files import package_folder

FILES = ("flights.csv.zip", "weather.csv", "planes.csv", "airports.csv")


def thin(folder: Path, every: int, before: str = "2014-01-06") -> Path:
    """Write every n-th flight that was scheduled before a day, and the weather until then; the rest whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        lines = _lines(package_folder() / name)
        if "time_hour" in lines.columns:
            lines = lines.filter(pl.col("time_hour") < before)
        if name.startswith("flights"):
            lines = lines.gather_every(every)
        lines.write_csv(folder / f"{name.split('.')[0]}.csv")
    return folder


def _lines(path: Path) -> pl.DataFrame:
    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            content = archive.read(next(n for n in archive.namelist() if n.endswith(".csv")))
    return pl.read_csv(content, infer_schema=False, empty_string_is_null=False)
