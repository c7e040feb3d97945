"""How made-up models stand: any mixture of what is known and what is not."""

from dataclasses import fields, replace
from typing import Any

from hypothesis import strategies as st

from resources.records.standing import Platform, Standing

WORDS = st.sampled_from(
    [
        "drift alarm on 2024-01-08: PSI 0.3100, limit 0.25",
        "no version is champion",
        "a <b>bold</b> & \"quoted\" 'word'",
    ]
)
SOME = st.lists(WORDS, max_size=3, unique=True).map(tuple)
NUMBERS = st.none() | st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
COUNTS = st.none() | st.integers(0, 10**9)
MOMENTS = st.none() | st.just("2024-01-15T00:00:00+00:00")
LINKS = st.dictionaries(
    st.sampled_from(["registry", "data", "performance", "drift"]), st.just("http://localhost:3000/assets/x")
)
OF_TYPE = {
    "str | None": st.none() | WORDS,
    "float | None": NUMBERS,
    "int | None": COUNTS,
    "bool | None": st.none() | st.booleans(),
    "tuple[str, ...]": SOME,
    "dict[str, str]": LINKS,
}
BY_NAME: dict[str, Any] = {
    "model": st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    "champion_since": MOMENTS,
    "partition_end": MOMENTS,
    "newest_partition": st.none() | st.just("2024-01-08"),
    "quality_partition": st.none() | st.just("2024-01-08"),
    "drift_partition": st.none() | st.just("2024-01-08"),
    "metric": st.none() | st.sampled_from(["auc", "mae"]),
    "rollout_share": st.none() | st.floats(0, 1),
    "coverage": st.none() | st.floats(0, 1),
    "owner": st.none() | st.just("team:parcels"),
    "cost_unit": st.just("CPU-hours"),
}

STANDINGS = st.builds(
    Standing,
    **{
        one.name: BY_NAME[one.name] if one.name in BY_NAME else OF_TYPE[str(one.type)]
        for one in fields(Standing)
    },
)
PLATFORMS = st.builds(
    Platform,
    asked_at=st.just("2024-01-15T06:00:00+00:00"),
    models=st.lists(STANDINGS, max_size=4, unique_by=lambda one: one.model).map(tuple),
    waits=SOME,
)


def unknown(model: str, **known: Any) -> Standing:
    """A model of which nothing is known but what is given."""
    empty: dict[str, Any] = {"tuple[str, ...]": (), "dict[str, str]": {}}
    nothing: dict[str, Any] = {one.name: empty.get(str(one.type)) for one in fields(Standing)}
    nothing["model"], nothing["cost_unit"] = model, "CPU-hours"
    return replace(Standing(**nothing), **known)
