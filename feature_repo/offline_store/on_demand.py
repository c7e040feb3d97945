"""On-demand views offline, which see what they see online.

Feast serves a view without the features of views that it does not declare (its issue 6158), but trains it with them.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import Field
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.pandas_transformation import PandasTransformation

from .asking import ViewRequest

MODES = ("pandas", "python")
"""Those in which Feast holds columns back online; substrait plans name theirs themselves."""


class DeclaredOnly(OnDemandFeatureView):
    """An on-demand view that is given join keys, request data and the features of views that it declares."""

    def __init__(self, view: OnDemandFeatureView, unseen: frozenset[str]) -> None:
        vars(self).update(vars(view))
        self.unseen = unseen
        given = view.feature_transformation
        if isinstance(given, PandasTransformation):
            self.feature_transformation = OneThread(given.udf, given.udf_string)

    def transform_arrow(self, pa_table: pa.Table, full_feature_names: bool = False) -> pa.Table:
        """The view's features, computed from those columns."""
        seen = [name for name in pa_table.column_names if name not in self.unseen]
        return super().transform_arrow(pa_table.select(seen), full_feature_names)


class OneThread(PandasTransformation):
    """A view's function, given its frame by one thread: pyarrow's others only fight it for Python's lock."""

    def transform_arrow(self, pa_table: pa.Table, features: list[Field]) -> pa.Table:
        """The view's features, computed from those columns."""
        return pa.Table.from_pandas(self.udf(frame_of(pa_table)), nthreads=1)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The table in pandas, a block a column: put together, blocks of one type would be copied into one more.

    A column that pandas only looks at in the table is copied, because a function may write into what it is given.
    """
    frame = table.to_pandas(use_threads=False, split_blocks=True)
    for name, column in zip(table.column_names, table.columns, strict=True):
        shared = pa.types.is_temporal(column.type) or not column.null_count
        if shared and pa.types.is_primitive(column.type):
            frame[name] = frame[name].copy()
    return frame


def declared_only(
    views: Sequence[OnDemandFeatureView], requests: Sequence[ViewRequest]
) -> list[OnDemandFeatureView]:
    """The views, of which none sees a feature of a view that it does not declare."""
    return [DeclaredOnly(view, _unseen(view, requests)) if view.mode in MODES else view for view in views]


def _unseen(view: Any, requests: Sequence[ViewRequest]) -> frozenset[str]:
    declared = {projection.name for projection in view.source_feature_view_projections.values()}
    return frozenset(name for one in requests if one.name not in declared for name in one.columns)
