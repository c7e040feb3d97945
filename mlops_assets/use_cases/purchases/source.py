"""The purchases in the package lifetimes, a customer's day one purchase; the file is read and nothing imported."""

from datetime import datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from mlops_assets.stages.errors import SourceError

FILE = "CDNOW_master.txt"
COLUMNS = {"customer": pl.Int64, "day": pl.String, "pieces": pl.Int64, "amount": pl.Float64}
END_OF_DAY = timedelta(days=1, seconds=-1)
"""The file has days and no times: what was bought on a day is known at its end."""


def purchases(start: datetime, end: datetime) -> pl.DataFrame:
    """The purchases of a span."""
    return _all(_file()).filter(pl.col("bought_at").is_between(start, end, closed="left"))


def _file() -> Path:
    spec = find_spec("lifetimes")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"{FILE} is in no package: pip install --no-deps lifetimes==0.11.3")
    return Path(spec.submodule_search_locations[0]) / "datasets" / FILE


@cache
def _all(file: Path) -> pl.DataFrame:
    lines = file.read_text(encoding="ascii").splitlines()[1:]
    values = pl.Series("line", lines).str.extract_all(r"\S+").to_frame()
    if not (whole := values["line"].list.len() == len(COLUMNS)).all():
        row = int((~whole).arg_max() or 0)
        raise SourceError(
            f"{file}, line {row + 2}: {lines[row]!r} has not {len(COLUMNS)} values: get it again"
        )
    typed = values.select(
        pl.col("line").list.get(number).cast(kind).alias(name)
        for number, (name, kind) in enumerate(COLUMNS.items())
    )
    day = pl.col("day").str.to_datetime("%Y%m%d", time_unit="us", time_zone="UTC")
    bought = typed.with_columns((day + END_OF_DAY).alias("bought_at"))
    return bought.group_by("customer", "bought_at").agg(pl.col("pieces", "amount").sort().sum())
