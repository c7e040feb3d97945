"""What a champion was trained on, in short: the same however many columns are read at once."""

import polars as pl
import pytest

from mlops_assets.ml.monitoring.drift import reference_profile
from mlops_assets.stages import reference
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import newest_partition, training_data
from tests.parcel_weeks import parcel_lake, search_spec

SPEC = search_spec()


@pytest.mark.parametrize("cells", [1, 1500, 10**9])
def test_the_profile_and_the_sample_do_not_depend_on_how_many_columns_are_read_at_once(
    tmp_path, monkeypatch, cells
):
    lake = parcel_lake(tmp_path, SPEC)
    data = training_data(SPEC, lake, newest_partition(SPEC, lake))
    files = training_files(SPEC, data, hold_out=False)
    rows = files.read(SPEC)
    monkeypatch.setattr(reference, "CELLS_AT_ONCE", cells)
    profile, sample = reference.reference(SPEC, files, data.features)
    assert profile == reference_profile(rows, data.features, SPEC.trainer.categories)
    drawn = rows.select(data.features).sample(
        min(SPEC.drift.sample_rows, rows.height), seed=SPEC.trainer.seed
    )
    assert isinstance(sample, pl.DataFrame) and sample.equals(drawn)
