"""Shares of the files are all the rows, each once, and what is surveyed of files is what is surveyed of the rows."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import DatasetError, labelled
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.shards import Files, Held, written
from resources.storage.addresses import storage_at

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def stored(make_parcels, tmp_path_factory):
    """Writes parcels as files of so many rows, in row groups of ten; gives the frame and the files."""

    def write(sizes):
        folder, frame, first, paths = tmp_path_factory.mktemp("weeks"), make_parcels(sum(sizes)), 0, []
        for i, rows in enumerate(sizes):
            paths.append(str(folder / f"{i:02}.parquet"))
            frame[first : first + rows].write_parquet(paths[-1], row_group_size=10)
            first += rows
        return frame, Files(tuple(paths), frame["seen"].max())

    return write


@given(sizes=SIZES, workers=st.integers(1, 7))
def test_the_shares_of_all_workers_are_all_rows_each_once(stored, spec, sizes, workers):
    frame, files = stored(sizes)
    shares = [files.part(spec, rank, workers) for rank in range(workers)]
    assert files.rows == frame.height
    whole = labelled(frame, spec, files.known_by)
    assert sorted(pl.concat(shares)["parcel"]) == sorted(whole["parcel"])
    assert all(share["sent"].is_sorted() for share in shares)


@given(workers=st.integers(2, 6))
def test_no_worker_has_twice_the_rows_of_another(stored, spec, workers):
    _, files = stored([200, 31, 90, 170])
    heights = [files.part(spec, rank, workers).height for rank in range(workers)]
    assert max(heights) < 2 * min(heights)


def test_a_share_reads_its_own_row_groups_only(stored, spec, monkeypatch):
    _, files = stored([400])
    read = []
    monkeypatch.setattr(
        pl, "scan_parquet", lambda path, scan=pl.scan_parquet, **how: read.append(path) or scan(path, **how)
    )
    assert files.part(spec, 0, 4).height < 120
    assert len(read) == 10


@given(sizes=st.lists(st.integers(40, 80), min_size=1, max_size=4), days=st.integers(0, 1))
def test_files_tell_of_themselves_what_their_rows_would(stored, spec, features, sizes, days):
    frame, files = stored(sizes)
    since = frame["sent"].min() + timedelta(hours=6 * days)
    files = Files(files.paths, files.known_by - timedelta(hours=1), since)
    rows = labelled(frame, spec, files.known_by).filter(pl.col("sent") >= since)
    assert files.survey(spec, features, stops=True) == Held.of(rows, spec).survey(spec, features, stops=True)
    assert files.survey(spec, features, stops=False).cut is None


def test_a_fit_on_files_has_the_bytes_of_a_fit_on_their_rows(stored, spec, features):
    frame, files = stored([700, 900, 400])
    rows = labelled(frame, spec, files.known_by)
    assert fit(files, spec, features).model == fit(rows, spec, features).model


def test_rows_put_into_a_file_come_back_with_their_labels(known, spec, tmp_path):
    files = written(known, storage_at(tmp_path), known["seen"].max())
    assert files.part(spec, 0, 1).equals(Held.of(known, spec).frame)


def test_a_text_feature_is_named_before_a_worker_starts(stored, spec):
    _, files = stored([50])
    with pytest.raises(DatasetError, match="feature 'parcel' is String"):
        files.survey(spec, ["parcel"], stops=False)


def test_files_whose_rows_are_of_one_moment_cannot_be_validated_in_time(stored, spec, features):
    _, files = stored([1])
    with pytest.raises(DatasetError, match="1 rows cannot be split in time"):
        files.survey(spec, features, stops=True)


TOO_LARGE = st.sampled_from([float("inf"), float("-inf"), 1e39, -3.5e38, 1e308])
FITTING = st.sampled_from([3.4e38, -3.4028234e38, float("nan"), None, 0.0])


@given(
    column=st.sampled_from(["queue", "weight", "delay"]),
    planted=st.dictionaries(st.integers(0, 89), TOO_LARGE, min_size=1, max_size=9),
    beside=st.dictionaries(st.integers(0, 89), FITTING, max_size=9),
    single=st.booleans(),
)
def test_a_number_that_single_precision_cannot_hold_is_refused_with_column_count_and_first_row(
    make_parcels, spec, features, tmp_path_factory, column, planted, beside, single
):
    values = make_parcels(90)[column].cast(pl.Float64).to_list()
    for row, value in {**beside, **planted}.items():
        values[row] = value
    dtype = pl.Float32 if single else pl.Float64
    frame = make_parcels(90).with_columns(pl.Series(column, values, pl.Float64).cast(dtype))
    folder, known_by = tmp_path_factory.mktemp("planted"), frame["seen"].max()
    told = rf"column '{column}' holds {len(planted)} of .* at parcel = p{min(planted):06}\b.*training needs"
    files = Files((str(folder / "rows.parquet"),), known_by)
    frame.write_parquet(files.paths[0], row_group_size=20)
    with pytest.raises(DatasetError, match=told):
        files.survey(spec, features, stops=False)
    with pytest.raises(DatasetError, match=told):
        Held.of(labelled(frame, spec, known_by), spec).survey(spec, features, stops=False)


def test_rows_that_are_not_trained_on_may_hold_any_number(stored, spec, features):
    frame, files = stored([60])
    late = frame.with_columns(
        queue=pl.when(pl.int_range(pl.len()) == 59).then(float("inf")).otherwise("queue")
    )
    late.write_parquet(files.paths[0])
    files = Files(files.paths, frame["seen"][58])
    assert files.survey(spec, features, stops=False).rows == labelled(frame[:59], spec, files.known_by).height


def test_what_the_footers_clear_is_not_read(stored, spec, features, monkeypatch):
    _, files = stored([60])
    read = []
    monkeypatch.setattr(
        pl,
        "read_parquet",
        lambda path, read_all=pl.read_parquet, **how: read.append(how) or read_all(path, **how),
    )
    files.survey(spec, features, stops=False)
    assert "weight" not in {name for how in read for name in how.get("columns") or ()}
