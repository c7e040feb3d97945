"""What Evidently draws concludes what all rows do, and the scores above it are those of all rows."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.monitoring.comparison import compare
from mlops_assets.ml.monitoring.drift import column_drift, reference_profile
from mlops_assets.ml.monitoring.page_sample import agreeing_sample, conclusions, with_exact_scores
from mlops_assets.ml.monitoring.reference_summary import summarize

COLUMNS = ["a", "b", "c"]


def side(seed: int, rows: int, moved: float = 0.0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    letters = np.array(["x", "y", "z"])[np.minimum((draw.random(rows) ** (1 + moved) * 3).astype(int), 2)]
    return pl.DataFrame({"a": draw.normal(moved, size=rows), "b": draw.exponential(size=rows), "c": letters})


def exact_of(reference: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
    return column_drift(reference_profile(reference, COLUMNS, ["c"]), current)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_sample_concludes_what_all_rows_do_or_says_on_which_columns_it_does_not(seed, moved):
    before, now = side(seed, 3000), side(seed + 1, 4000, moved)
    exact, reference = exact_of(before, now), before.sample(800, seed=1)
    sample, differing = agreeing_sample(reference, now, exact, ["c"], seed, 500)
    told, wanted = conclusions(compare(summarize(reference, COLUMNS, ["c"]), sample)), conclusions(exact)
    assert sample.height == 500
    assert {column for column in COLUMNS if told[column] is not wanted[column]} == set(differing)


def test_what_moved_far_has_moved_in_the_sample_too():
    before, now = side(1, 3000), side(2, 4000, 1.0)
    _, differing = agreeing_sample(before, now, exact_of(before, now), ["c"], 0, 500)
    assert not {"a", "c"} & set(differing)


def test_the_same_rows_give_the_same_sample():
    before, now = side(1, 900), side(2, 900, 0.1)
    exact = exact_of(before, now)
    one, two = (agreeing_sample(before, now, exact, ["c"], 4, 300) for _ in "ab")
    assert one[0].equals(two[0]) and one[1] == two[1]


def test_the_scores_on_the_page_are_those_of_all_rows_and_names_are_no_markup():
    before, now = (side(seed, 900).rename({"a": "<a>"}) for seed in (1, 2))
    exact = column_drift(reference_profile(before, ["<a>"]), now)
    page = with_exact_scores("<html><body class='x'><div>drawn</div></body></html>", exact, 900, 300, ["<a>"])
    assert page.startswith("<html><body class='x'><section id=exact") and page.endswith(
        "<div>drawn</div></body></html>"
    )
    assert (
        f"<td>{exact['wasserstein'][0]:.4f}</td>" in page
        and "<td>&lt;a&gt;</td>" in page
        and "<a>" not in page
    )
    assert "all 900 rows" in page and "a sample of 300" in page and "concludes otherwise on &lt;a&gt;" in page


def test_of_no_row_and_of_no_column_there_is_a_sample_all_the_same():
    empty = side(1, 900).clear()
    sample, differing = agreeing_sample(empty, side(2, 90), exact_of(side(1, 90), side(2, 90))[:0], [], 0, 50)
    assert sample.height == 50 and differing == []
