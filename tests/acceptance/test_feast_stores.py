"""docs/point-in-time.md tells the truth about Feast's own stores, case by case (Ray's is in test_feast_ray_store.py)."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.catalogue import CASES, judged
from tests.feature_repo.offline_oracle.feast_table import PAGE, STORES, table, told

HERE = {column: kind for column, kind in STORES.items() if kind != "ray"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("column", HERE)
@pytest.mark.parametrize("name", CASES)
def test_feasts_store_does_in_the_case_what_the_page_says(name: str, column: str, tmp_path: Path) -> None:
    assert judged(CASES[name], tmp_path, {"type": HERE[column]}) == told(name, column)


def test_every_line_of_the_table_is_a_case_in_which_some_store_differs() -> None:
    assert set(table()) <= set(CASES)
    alike = [name for name, line in table().items() if all(line[column] == "right" for column in STORES)]
    assert alike == []


def test_every_line_has_the_cases_sentence_and_says_who_is_right() -> None:
    for name, line in table().items():
        assert line["rule"] == CASES[name].sentence
        assert line["who is right"]


def test_the_page_counts_the_cases_as_the_table_has_them() -> None:
    right = {
        column: len(CASES) - sum(line[column] != "right" for line in table().values()) for column in STORES
    }
    told_there = (
        "Of the {} cases the default file store (dask) answers {} as the rules say, DuckDB {}, Ray {}."
    )
    assert told_there.format(len(CASES), *right.values()) in " ".join(PAGE.read_text().split())
