"""The lazy result of a call: computed when it is asked for, as Arrow, pandas or polars, or written as a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.saved_dataset import SavedDatasetStorage

from .files import place
from .requests import RequestError
from .writes import write_dataset


class PolarsRetrievalJob(RetrievalJob):
    """What a call will give; Feast's own class adds on-demand features and validation to it."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        repo_path: Path | None,
        full_feature_names: bool = False,
        on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._repo_path = repo_path
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named `view__feature`."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The on-demand views whose features are added."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """Features, keys, and first and last timestamp of the entity rows."""
        return self._metadata

    def to_polars(self) -> pl.DataFrame:
        """The result as a polars frame."""
        return pl.DataFrame(pl.from_arrow(self.to_arrow()))

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool | None = False, timeout: int | None = None
    ) -> None:
        """Write the result as a saved data set: one file where the path has an ending, else a folder.

        Raises Feast's SavedDatasetLocationAlreadyExists, before anything is computed, where something is there
        and may not be overwritten.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            raise RequestError(
                f"a saved data set of this store goes to SavedDatasetFileStorage, not to {type(storage).__name__}"
            )
        options = storage.file_options
        where = place(options.uri, self._repo_path, options.s3_endpoint_override)
        write_dataset(where, lambda: self.to_arrow(timeout=timeout), bool(allow_overwrite))

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._evaluate()
