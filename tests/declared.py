"""Tables declared by tests: small files, the spec that reads them, and the lake that they are written to."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.spec.table import TableSpec

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC)
FIRST, SECOND, THIRD = "2024-01-01", "2024-01-08", "2024-01-15"
COLUMNS = {"loan_id": "int", "amount": "float", "zipcode": "str | null", "applied_at": "datetime"}


def loans(**changes: Any) -> TableSpec:
    """A table of loans with parts changed; None leaves one out."""
    said = {
        "name": "applications",
        "source": {"kind": "csv", "path": "loans.csv"},
        "columns": COLUMNS,
        "key": ["loan_id"],
        "time": "applied_at",
        **changes,
    }
    return TableSpec.model_validate({name: value for name, value in said.items() if value is not None})


def a_loan(number: int, at: str, amount: object = 10.5, zipcode: str = "10001") -> str:
    """One line of a CSV of loans."""
    return f"{number},{amount},{zipcode},{at}"


def write_loans(path: Path, *lines: str, header: str = "loan_id,amount,zipcode,applied_at") -> Path:
    """A CSV of loans."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def loans_frame(*days: int) -> pl.DataFrame:
    """A loan at noon of each day of January 2024."""
    return pl.DataFrame(
        {
            "loan_id": [*days],
            "amount": [day * 1.5 for day in days],
            "zipcode": [f"{10_000 + day}" for day in days],
            "applied_at": [datetime(2024, 1, day, 12, tzinfo=UTC) for day in days],
        },
        {
            "loan_id": pl.Int64,
            "amount": pl.Float64,
            "zipcode": pl.String,
            "applied_at": pl.Datetime("us", "UTC"),
        },
    )
