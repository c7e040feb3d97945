"""Cases on keys and entity rows."""

from typing import Any

import pandas as pd
import pyarrow as pa

from tests.feature_repo.offline_oracle.cases import TEXT, WHOLE, ask, case, hours, row, view

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
case(
    "keys-beyond-those-asked",
    "A second key outside of the range that is asked for makes no other pair.",
    view([row(("a", n), n, n) for n in range(-2, 6)] + [row(("b", 1), 0, 9)], keys={"id": TEXT, "n": WHOLE}),
    ask(["a", "b", "b"], [5, 5, 5], {"n": [2, 1, 2]}),
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
