"""What the store tells Feast about sources before anything is joined."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from feast import FileSource

from feature_repo.offline_store.files import SourceError
from feature_repo.offline_store.store import PolarsOfflineStore
from tests.feature_repo.offline import shop

STORE = PolarsOfflineStore()


def source(path: str = "tables/*.parquet", time: str = "moment", created: str = "created") -> FileSource:
    return FileSource(name="s", path=path, timestamp_field=time, created_timestamp_column=created)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    shop.write(tmp_path / "tables")
    return SimpleNamespace(repo_path=tmp_path)


def test_a_source_with_its_timestamps_is_valid_and_so_is_one_without_files_yet(config: Any) -> None:
    STORE.validate_data_source(config, source())
    STORE.validate_data_source(config, source("elsewhere/*.parquet"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (source(time="when"), r"source 's'.*0\.parquet the column 'when' is missing"),
        (source(created="made"), "the column 'made' is missing there and in every other file"),
        (source(time="note"), "the column 'note' is String, not a timestamp"),
        (source("tables/broken.parquet"), r"broken\.parquet cannot be read"),
        (source("gs://bucket/x.parquet"), "this store reads local paths, file:// and s3://"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_source_that_no_join_could_read_is_not(config: Any, given: FileSource, told: str) -> None:
    (config.repo_path / "tables" / "broken.parquet").write_bytes(b"PAR1 and no more")
    broken = config.repo_path / "tables" / "broken.parquet"
    if "broken" not in given.path:
        broken.unlink()
    with pytest.raises(SourceError, match=told):
        STORE.validate_data_source(config, given)


def test_columns_are_those_of_all_files_in_the_order_of_the_first(config: Any) -> None:
    more = pl.read_parquet(config.repo_path / "tables" / "2.parquet").with_columns(late=pl.lit(1))
    more.write_parquet(config.repo_path / "tables" / "pushed-1.parquet")
    found = dict(STORE.get_table_column_names_and_types_from_data_source(config, source()))
    assert list(found) == ["shop", "item", "moment", "amount", "note", "created", "late"]
    assert (found["amount"], found["item"]) == ("double", "int64")
