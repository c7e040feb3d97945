"""Names of columns: which belong to the platform, and which of a user's own names may not meet.

Wherever the platform adds columns to a user's rows, their names begin with an underscore, and no name of the user's
does: so a feature may be called `score` or `label`. Two tables on disk are read by people and have plain names of the
platform's beside the user's: those are refused as names of the columns they stand beside.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mlops_assets.spec.gate import DAY, WEEK

OURS = "_"
"""The first character of every column that the platform adds to a user's rows."""

LABEL, SCORE, CHAMPION_SCORE = "_label", "_score", "_champion_score"
CLUSTER, SLICE, ROW, FROM = "_cluster", "_slice", "_row", "_from"
ASKED_AT, KNOWN_AT = "_asked", "_known"
LABEL_KNOWN, LABEL_EARLIER = "_label_known", "_label_earlier"
"""Columns of a training set whose label has a table of its own: when it became known, and the outcomes that it corrects."""


STORED_SCORE, STORED_VERSION = PREDICTIONS = ("score", "model_version")
"""Columns of `<model>/predictions` beside its key and time."""

EVENT_TIME, CREATED = FEATURE_TABLE = ("event_timestamp", "created")
"""Columns of a feature table beside its keys and features, and of pushed events."""


class Inputs(Protocol):
    """What a feature service reads and gives, by name."""

    @property
    def features(self) -> Mapping[str, Sequence[str]]:
        """Those that the model is given, by view."""
        ...

    @property
    def behind(self) -> Mapping[str, Sequence[str]]:
        """Those that on-demand features read, by view."""
        ...

    @property
    def keys(self) -> Sequence[str]:
        """Join keys."""
        ...

    @property
    def requests(self) -> Sequence[str]:
        """What a request brings beside them."""
        ...

    @property
    def columns(self) -> Mapping[str, Mapping[str, str]]:
        """View -> column -> its name in the source, where that is another."""
        ...

    @property
    def stored(self) -> Sequence[str]:
        """The views that are tables; the others are computed on demand."""
        ...


class LabelColumns(Protocol):
    """The columns that a label names."""

    @property
    def column(self) -> str: ...

    @property
    def table(self) -> str | None: ...

    @property
    def known_at(self) -> str | None: ...

    @property
    def named_columns(self) -> Sequence[tuple[str, str]]: ...


def unusable(name: str) -> str | None:
    """Why no column of a user's may have this name, or None."""
    if not name.strip():
        return "is empty"
    if name.startswith(OURS):
        return f"begins with {OURS!r}, as the platform's own columns do ({LABEL}, {SCORE}, {ROW} and others)"
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        return "is a pattern that stands for several columns"
    return None


def columns_meet(name: str, value: Any, above: Mapping[str, Any]) -> str | None:
    """Which columns of a part of a spec meet the platform's, or those of the parts above it; None where none do."""
    if problem := named_badly(_named_by(name, value)):
        return problem
    prediction, label = above.get("prediction"), above.get("label")
    if name == "prediction":
        return prediction_clash(value.key, value.time)
    if name == "label" and prediction:
        among = label_among("prediction.request", list(prediction.columns), value)
        return among or label_clash(value, prediction.key, prediction.time)
    if name == "trainer" and label:
        return label_among("trainer.categories", value.categories, label)
    return None


def apart(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """What the trainer names, with `trainer.` before a name that the platform logs something else under."""
    return {f"trainer.{name}" if name in ours else name: value for name, value in theirs.items()}


def named_badly(columns: Mapping[str, Sequence[str]]) -> str | None:
    """What is wrong with the names that a spec gives for each purpose, by itself or said twice; None where all is well."""
    for purpose, names in columns.items():
        for name in names:
            if why := unusable(name):
                return f"{purpose} {name!r} {why}: rename the column, for instance to {_renamed(name)!r}"
        if twice := next((name for name in names if list(names).count(name) > 1), None):
            return f"{purpose} names {twice!r} twice: leave one out"
    return None


def prediction_clash(key: Sequence[str], time: str) -> str | None:
    """A key or time that is named as a column of the predictions table, or None."""
    for purpose, name in (("prediction.time", time), *(("prediction.key", name) for name in key)):
        if name in PREDICTIONS:
            return (
                f"{purpose} {name!r} is the name of the platform's own column {name!r} in the table of predictions, "
                "beside which it would stand: rename the column"
            )
    return None


def label_clash(label: LabelColumns, key: Sequence[str], time: str) -> str | None:
    """A label or its moment that is another column of the prediction too, or None; in a table of its own only the label is beside it."""
    roles = {"prediction.time": [time], "prediction.key": list(key)}
    beside = [
        (purpose, name) for purpose, name in label.named_columns if not label.table or name == label.column
    ]
    for purpose, name in beside:
        for other, names in roles.items():
            if name in names:
                return f"{purpose} and {other} are both {name!r}: what is known at the prediction is nothing to predict, name two columns"
    if label.column == label.known_at:
        return f"label.column and label.known_at are both {label.column!r}: name the value and the moment it became known"
    return None


def label_among(purpose: str, names: Sequence[str], label: LabelColumns) -> str | None:
    """That the label or its moment is among columns which the model is given, or None."""
    for role, name in label.named_columns:
        if name in names:
            return f"{purpose} has {name!r}, which is {role}: a model must not be given what it is to predict, leave it out"
    return None


def input_clashes(inputs: Inputs, key: Sequence[str], time: str) -> Iterator[str]:
    """Names of a feature service that may not meet each other, the platform's, or the prediction's key and time."""
    yield from _badly_named_inputs(inputs, time)
    yield from _given_twice(inputs)
    yield from _against_the_prediction(inputs, key, time)


def request_clashes(inputs: Inputs, columns: Iterable[str]) -> Iterator[str]:
    """Request columns of a spec that are features, keys or columns of the feature service's requests too."""
    owner = {name: f"feature {name!r} of view {view!r}" for view, name in _pairs(inputs)}
    for name in columns:
        if name in owner:
            yield f"request column {name!r} has the name of {owner[name]}: rename one of them"
        if name in inputs.keys:
            yield (
                f"request column {name!r} is a join key, which every request has already: leave it out, and list it in "
                "trainer.categories for the model to be given it too"
            )
        if name in inputs.requests:
            yield f"request column {name!r} is asked for by an on-demand view already: leave it out"


def cluster_clash(cluster: str, inputs: Inputs) -> str | None:
    """That `gate.cluster`, where it is written, is a word of the spec and a column of the service too, or None."""
    names = [*(name for _, name in _pairs(inputs)), *inputs.keys, *inputs.requests]
    if cluster not in (DAY, WEEK) or cluster not in names:
        return None
    return (
        f"gate.cluster {cluster!r} is a {cluster} of the prediction time, and {cluster!r} is a column of the feature service "
        f"too: rename the column, or leave gate.cluster out for days of the prediction time"
    )


def label_among_inputs(inputs: Inputs, named: Sequence[tuple[str, str]]) -> Iterator[str]:
    """That a feature, a join key or a request column is the label or its moment; `named` are those, each by its field (`Label.told`)."""
    for role, label in named:
        for view, name in _pairs(inputs):
            source = inputs.columns.get(view, {}).get(name, name)
            if label in (name, source):
                sentence = f"feature {name!r} of view {view!r}" + (
                    f" (column {source!r})" if source != name else ""
                )
                yield (
                    f"{sentence} is {role} {label!r}: a model must not be given what it is to predict, take it out of the "
                    "feature service, or rename it where it is another thing"
                )
        for purpose, names in (("join key", inputs.keys), ("request column", inputs.requests)):
            if label in names:
                yield f"{purpose} {label!r} is {role}: what is to be predicted is not known when it is asked for, rename one of them"


def _named_by(name: str, value: Any) -> Mapping[str, Sequence[str]]:
    """Columns that a part of a spec names, by what for."""
    columns: dict[str, Callable[[], dict[str, Sequence[str]]]] = {
        "prediction": lambda: {"prediction.key": value.key, "prediction.time": [value.time]},
        "label": lambda: {purpose: [name] for purpose, name in value.named_columns},
        "trainer": lambda: {"trainer.categories": value.categories},
        "gate": lambda: {"gate.cluster": value.cluster_columns},
        "slices": lambda: {"slices": value},
        "drift": lambda: {"drift.columns": value.columns or []},
    }
    return columns[name]()


def _badly_named_inputs(inputs: Inputs, time: str) -> Iterator[str]:
    owned = [(f"feature {name!r} of view {view!r}", name, view) for view, name in _pairs(inputs)]
    owned += [(f"join key {name!r}", name, "") for name in inputs.keys]
    owned += [(f"request column {name!r}", name, "request") for name in inputs.requests]
    for what, name, view in owned:
        if why := unusable(name):
            yield f"{what} {why}: rename it, for instance to {_renamed(name)!r}"
        computed = view and view not in inputs.stored
        if name == EVENT_TIME and not (view == "request" and name == time):
            yield f"{what} is the name of the platform's own column {EVENT_TIME!r}, by which features are joined: rename it"
        if name == CREATED and not computed:
            yield f"{what} is the name of the platform's own column {CREATED!r} of feature tables: rename it"
    yield from _log_clashes(inputs)


def _log_clashes(inputs: Inputs) -> Iterator[str]:
    """The serving log names a column after view and feature, with two more beside it."""
    taken: dict[str, str] = {name: f"input {name!r}" for name in (*inputs.keys, *inputs.requests)}
    for view, names in inputs.features.items():
        for name in names:
            what = f"feature {name!r} of view {view!r}"
            for column in (f"{view}__{name}", f"{view}__{name}__timestamp", f"{view}__{name}__status"):
                if column in taken:
                    yield f"{what} and {taken[column]} would both be {column!r} in the serving log: rename one"
                taken[column] = what


def _given_twice(inputs: Inputs) -> Iterator[str]:
    owner: dict[str, str] = {}
    for view, name in _pairs(inputs):
        if owner.setdefault(name, view) != view:
            yield f"feature {name!r} comes from the views {owner[name]!r} and {view!r}: rename it in one of them"
        for purpose, names in (("join key", inputs.keys), ("request column", inputs.requests)):
            if name in names:
                yield f"feature {name!r} of view {view!r} has the name of the {purpose} {name!r}: rename one of them"


def _against_the_prediction(inputs: Inputs, key: Sequence[str], time: str) -> Iterator[str]:
    for view, name in _pairs(inputs, behind=False):
        for purpose, names in (("prediction.key", key), ("prediction.time", [time])):
            if name in names:
                yield f"feature {name!r} of view {view!r} has the name of {purpose} {name!r}: rename one of them"


def _pairs(inputs: Inputs, behind: bool = True) -> Iterator[tuple[str, str]]:
    views = dict.fromkeys([*inputs.features, *(inputs.behind if behind else ())])
    for view in views:
        names = [*inputs.features.get(view, ()), *(inputs.behind.get(view, ()) if behind else ())]
        yield from ((view, name) for name in dict.fromkeys(names))


def _renamed(name: str) -> str:
    return name.strip("_ ^$*") or "value"
