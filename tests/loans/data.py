"""Loans in the shape of Feast's credit tutorial, made from a seed: static zip codes, nulls, and a label that is never early."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

FOLDER = Path(__file__).parent
START = datetime(2024, 1, 1, tzinfo=UTC)
GRADES = ("A", "B", "C", "D")
GRADE_RISK = {"A": -1.2, "B": -0.3, "C": 0.5, "D": 1.3, None: 0.2}


def write_loans(folder: Path, days: int, a_day: int = 60, seed: int = 0) -> Path:
    """`loans_<month>.parquet` and `zipcodes.csv` in a folder: `days` days of `a_day` loans each, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    zips = zipcodes(seed)
    zips.write_csv(folder / "zipcodes.csv")
    for (month,), part in loans(days, a_day, zips, seed).group_by(pl.col("applied_at").dt.strftime("%Y-%m")):
        part.sort("loan_id").write_parquet(folder / f"loans_{month}.parquet")
    return folder


def zipcodes(seed: int = 0) -> pl.DataFrame:
    """40 zip codes; one in eight has no rate of unemployment."""
    rng, codes = np.random.default_rng(seed), np.arange(10_001, 10_041)
    rate = rng.uniform(2, 14, codes.size).round(2)
    return pl.DataFrame(
        {
            "zipcode": codes,
            "city": [f"CITY {code % 7}" for code in codes],
            "population": rng.integers(500, 90_000, codes.size),
            "unemployment": [None if n % 8 == 7 else value for n, value in enumerate(rate.tolist())],
        }
    )


def loans(days: int, a_day: int, zips: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """One row a loan; amounts, terms and grades are missing now and then."""
    rng, count = np.random.default_rng(seed + 1), days * a_day
    day = np.repeat(np.arange(days), a_day)
    seconds = np.sort(rng.integers(0, 86_400, (days, a_day)), axis=1).ravel()
    grade = [None if rng.random() < 0.05 else GRADES[g] for g in rng.integers(0, 4, count)]
    amount, term = rng.lognormal(8.8, 0.6, count).round(2), rng.choice([12, 36, 60], count)
    place = rng.integers(0, zips.height, count)
    rate = zips["unemployment"].fill_null(8.0).to_numpy()[place]
    logit = -1.9 + np.array([GRADE_RISK[g] for g in grade]) + 0.8 * np.log(amount / 6_600) + 0.12 * (rate - 8)
    return pl.DataFrame(
        {
            "loan_id": np.arange(1, count + 1),
            "zipcode": zips["zipcode"].to_numpy()[place],
            "applied_at": [
                START + timedelta(days=int(d), seconds=int(s)) for d, s in zip(day, seconds, strict=True)
            ],
            "amount": [None if rng.random() < 0.05 else value for value in amount.tolist()],
            "term": [None if rng.random() < 0.05 else value for value in term.tolist()],
            "grade": grade,
            "defaulted": rng.random(count) < 1 / (1 + np.exp(-logit)),
        }
    )
