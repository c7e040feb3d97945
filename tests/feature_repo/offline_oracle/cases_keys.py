"""Cases on keys, entity rows, columns and values."""

from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from tests.feature_repo.offline_oracle.cases import REAL, TEXT, WHOLE, ask, case, hours, row, view

AB = [row("a", 0, 1), row("b", 0, 2), row("a", 10, 3), row("b", 10, 4)]
PAIR: dict[str, Any] = {"keys": {"id": TEXT, "part": TEXT}}

case("null-key-asked", "An entity row with a null key stays, with nulls.", view(AB), ask([None, "a"], [5, 5]))
case(
    "null-key-stored",
    "A null key in the source matches nothing, not even a null key asked for.",
    view([*AB, row(None, 1, 9)]),
    ask([None, "a"], [5, 5]),
)
case(
    "null-part-of-key",
    "A composite key of which one part is null matches nothing.",
    view([row(("a", None), 0, 1), row((None, "p"), 0, 2), row(("a", "p"), 0, 3)], **PAIR),
    ask(["a", None, "a", None], [5] * 4, {"part": [None, "p", "p", None]}),
)
case(
    "composite-key",
    "Every part of a composite key must match.",
    view([row(("a", "p"), 0, 1), row(("a", "q"), 1, 2), row(("b", "p"), 2, 3)], **PAIR),
    ask(["a", "a", "b", "b"], [5] * 4, {"part": ["p", "q", "p", "q"]}),
)
case(
    "parts-not-glued",
    "The parts of a composite key are not glued together.",
    view([row(("a", "bc"), 0, 1), row(("ab", "c"), 1, 2)], **PAIR),
    ask(["ab", "a", "abc"], [5] * 3, {"part": ["c", "bc", ""]}),
)
case(
    "empty-text-is-a-key",
    "The empty text is a key like any other.",
    view([row("", 0, 1), row(None, 0, 2)]),
    ask(["", None], [5, 5]),
)
case(
    "whole-number-keys",
    "Whole-number keys match over their whole range, negative ones included.",
    view(
        [row(k, 0, n) for n, k in enumerate([-(2**63), -1, 0, 2**53, 2**53 + 1, 2**63 - 1])],
        keys={"id": WHOLE},
    ),
    ask([2**63 - 1, 2**53 + 1, 2**53, 0, -1, -(2**63), 7], [5] * 7),
)
case(
    "narrow-keys",
    "A whole-number key matches whatever its width in the source.",
    view([row(1, 0, 1), row(2, 0, 2)], keys={"id": pa.int32()}),
    ask([2, 1], [5, 5]),
)
case(
    "float-keys-asked",
    "Whole-number keys that pandas turned into floats, for one is missing, still match.",
    view([row(1, 0, 1), row(2, 0, 2)], keys={"id": WHOLE}),
    ask(pd.Series([2.0, None, 1.0]), [5, 5, 5]),
)
case(
    "categorical-keys-asked",
    "Keys given as a pandas category match.",
    view(AB),
    ask(pd.Series(["b", "a", "z"], dtype="category"), [5, 5, 5]),
)
case(
    "true-and-false",
    "Truth values are keys.",
    view([row(True, 0, 1), row(False, 0, 2)], keys={"id": pa.bool_()}),
    ask([False, True], [5, 5]),
)
case(
    "alias",
    "One view joined twice under two aliases answers by each alias's own column.",
    [
        view(AB, alias="sender", alias_keys={"id": "sender_id"}),
        view(AB, alias="receiver", alias_keys={"id": "receiver_id"}),
    ],
    ask(["b", "z"], [5, 12], {"sender_id": ["a", "b"], "receiver_id": ["b", None]}),
    full_names=True,
)
case(
    "alias-of-one-part",
    "An alias of one part of a composite key leaves the other part's name alone.",
    view(
        [row(("a", "p"), 0, 1), row(("b", "p"), 0, 2)], **PAIR, alias="other", alias_keys={"id": "other_id"}
    ),
    ask(["a", "a"], [5, 5], {"part": ["p", "p"], "other_id": ["b", "a"]}),
    full_names=True,
)
case(
    "duplicate-rows",
    "Entity rows that are equal in key and moment are all kept, each with its own other columns.",
    view(AB),
    ask(["a", "a", "b", "a"], [5, 5, 5, 5], {"label": [1.0, 0.0, 1.0, 1.0]}),
)
case(
    "order",
    "The order of the entity rows is kept.",
    view(AB),
    ask(["b", "a", "b", "a", "a"], [12, 3, 1, 15, -2]),
    ordered=True,
)
case(
    "index",
    "The entity frame's index, unordered and doubled, changes nothing.",
    view(AB),
    ask(["b", "a", "a"], [12, 3, 15], index=[7, 7, 0]),
)
case(
    "two-keys-two-views",
    "Views with different keys each join by their own, and no entity row is lost.",
    [
        view(AB),
        view([row("p", 0, y=1), row("q", 3, y=2)], name="w", keys={"part": TEXT}, features={"y": WHOLE}),
    ],
    ask(["a", "a", "b", "b"], [5] * 4, {"part": ["p", "q", "q", "p"]}),
)
case(
    "expired-in-one-view",
    "An entity row that has nothing in one view keeps what the other gives.",
    [view(AB, ttl=hours(1)), view([row("a", 0, y=7)], name="w", features={"y": WHOLE})],
    ask(["a", "b"], [8, 8]),
)
case(
    "without-entities",
    "A view without entities answers every entity row.",
    [view([row((), 0, 1), row((), 10, 2)], keys={}), view(AB, name="w")],
    ask(["a", "z"], [5, 12]),
    full_names=True,
)
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
case(
    "wide-text-keys",
    "Text keys match whatever Arrow type the source keeps them in.",
    view(AB, keys={"id": pa.large_string()}),
    ask(["b", "a"], [12, 5]),
)
case(
    "dictionary-keys",
    "Text keys match where the source keeps them as a dictionary.",
    view(AB, keys={"id": pa.dictionary(pa.int32(), TEXT)}),
    ask(["b", "a"], [12, 5]),
)
case(
    "bytes-keys",
    "Bytes are keys.",
    view([row(b"a", 0, 1)], keys={"id": pa.binary()}),
    ask([b"a", b"b"], [5, 5]),
)
case(
    "three-part-keys",
    "Composite keys of text, whole number and truth value match in all parts, in any order of columns.",
    view(
        [
            row((t, n, b), 0, k)
            for k, (t, n, b) in enumerate([("a", 1, True), ("a", 1, False), ("b", 1, True)])
        ],
        keys={"id": TEXT, "n": WHOLE, "b": pa.bool_()},
    ),
    ask(["b", "a", "a", "b"], [5] * 4, {"b": [True, False, True, False], "n": [1] * 4}),
)
MANY = 3000
case(
    "order-of-many",
    "The order of three thousand entity rows is kept through several views.",
    [
        view([row(f"e{n % 700}", n % 24, n) for n in range(MANY)]),
        view(
            [row(n % 70, n % 43, y=n) for n in range(MANY)],
            name="w",
            keys={"n": WHOLE},
            features={"y": WHOLE},
        ),
    ],
    ask(
        [f"e{n * 37 % 700}" for n in range(MANY)],
        [n % 31 for n in range(MANY)],
        {"n": [n % 77 for n in range(MANY)]},
    ),
    ordered=True,
)
case(
    "corrections-of-many",
    "Of two versions of each of three thousand rows the later created is used.",
    view(
        [row(f"e{n}", 0, 2 * n + v, created=5 if v == n % 2 else 2) for v in (0, 1) for n in range(MANY)],
        created=True,
    ),
    ask([f"e{n}" for n in range(MANY)], [9] * MANY),
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
