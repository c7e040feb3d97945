"""Cases on sources, columns and values."""

from datetime import timedelta

import pandas as pd
import pyarrow as pa
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from tests.feature_repo.offline_oracle.cases import REAL, TEXT, WHOLE, ask, case, row, view
from tests.feature_repo.offline_oracle.cases_keys import AB

case("empty-source", "A source without rows gives nulls.", view([]), ask(["a", "b"], [5, 6]))
case(
    "empty-beside-full",
    "A source without rows leaves the other views' values alone.",
    [view([], name="w", features={"y": REAL}), view(AB)],
    ask(["a", "b"], [5, 6]),
)
case("many-files", "A source of several files is one source.", view(AB, files=3), ask(["b", "a"], [12, 5]))
case(
    "empty-files",
    "Files without rows among the source's files are no obstacle.",
    view(AB[:2], files=5),
    ask(["b", "a"], [12, 5]),
)
case(
    "newest-is-null",
    "A value that is null in the newest row is null, and not filled from an older one.",
    view([row("a", 0, 1, y=1.5), row("a", 3, None, y=2.5)], features={"x": WHOLE, "y": REAL}),
    ask(["a", "a"], [5, 1]),
)
case(
    "shared-column",
    "With full feature names, views that share a column's name are told apart.",
    [view(AB), view([row("a", 0, 70)], name="w")],
    ask(["a", "b"], [5, 5]),
    full_names=True,
)
case(
    "large-whole-numbers",
    "Whole numbers over 2**53 beside nulls stay exact.",
    view([row("a", 0, 2**53 + 1)]),
    ask(["a", "z"], [5, 5]),
)
case(
    "kinds-of-values",
    "Text, truth values, instants and lists come back as they were.",
    view(
        [row("a", 0, "é", t=True, m=10**18, l=[1.5, 2.5]), row("b", 0, "", t=False, m=None, l=[])],
        features={"x": TEXT, "t": pa.bool_(), "m": pa.timestamp("us", "UTC"), "l": pa.list_(REAL)},
    ),
    ask(["b", "a", "z"], [5, 5, 5]),
)
case(
    "renamed-columns",
    "A source's field mapping renames features and keys.",
    view(AB, mapping={"stored_x": "x", "stored_id": "id"}),
    ask(["b", "a"], [5, 12]),
)
case(
    "renamed-timestamp",
    "A source may call its timestamps what it likes.",
    view(
        [row("a", 0, 1, created=9), row("a", 0, 2, created=3)], created=True, stamps=("happened", "written")
    ),
    ask(["a"], [5]),
)


case(
    "part-of-the-features",
    "Features that are not asked for stay away.",
    view([row("a", 0, 1, z=5)], unasked={"z": REAL}),
    ask(["a"], [5]),
)
case(
    "column-ending-in-y",
    "A feature may have any name, one that ends in _y too.",
    view([row("a", 0, speed_y=5.0, speed_x=6.0)], features={"speed_x": REAL, "speed_y": REAL}),
    ask(["a"], [5]),
)
case(
    "entity-column-named-created",
    "A column of the entity frame named like the source's created timestamp is only a column.",
    view([row("a", 0, 1, created=9), row("a", 0, 2, created=3)], created=True),
    ask(["a", "a"], [20, -1], {"created": [5, 6]}),
)
case(
    "entity-column-named-like-a-feature",
    "A column of the entity frame named like a feature that is not asked for is only a column.",
    view([row("a", 0, 1, z=5.0)], unasked={"z": REAL}),
    ask(["a"], [5], {"z": [0.25]}),
)


def doubled(views: dict):
    """An on-demand view over `v` and a value of the request."""
    request = RequestSource(name="asked_with", schema=[Field(name="factor", dtype=Int64)])

    @on_demand_feature_view(
        sources=[views["v"], request], schema=[Field(name="product", dtype=Float64)], mode="pandas"
    )
    def product(inputs: pd.DataFrame) -> pd.DataFrame:
        numbers = inputs.apply(pd.to_numeric, errors="coerce").astype("float64")
        return pd.DataFrame({"product": numbers["x"] * numbers["factor"]})

    return product


case(
    "on-demand",
    "An on-demand view computes from the joined values and the request's, row by row.",
    view(AB, ttl=timedelta(hours=4)),
    ask(["b", "z", "a", "a"], [12, 5, 3, 9], {"factor": [2, 3, 4, 5]}),
    on_demand=doubled,
    computed=lambda line: {"product": None if line["x"] is None else float(line["x"] * line["factor"])},
)
