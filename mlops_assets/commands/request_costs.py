"""What `mlops check` says of functions that a request has to wait for longer than it need."""

from collections.abc import Iterator

from mlops_assets.spec.model import ModelSpec

FRAME_MS = {"pandas": 2.0, "python": 1.0, "substrait": 2.0}
"""Milliseconds of CPU that a request of one row takes more where Feast's function of all rows has to be called."""

ROWS_MS = 4.0
"""The same where the rows of a request go through a frame, and with them all else."""


def request_costs(spec: ModelSpec) -> Iterator[str]:
    """A sentence for each function that is given as one of frames alone: what it costs a request, and the faster form.

    The figures are those of one core of a small machine; without such functions a request takes a third of a
    millisecond.
    """
    from mlops_assets.stages.entity_rows import imported
    from resources.features.on_demand_ways import on_demand_ways
    from resources.features.stores import repository_of

    rows = spec.prediction.rows
    if rows and not hasattr(imported(rows), "one_row"):
        yield (
            f"prediction.rows {rows} takes frames alone, so the model answers by frames: about {ROWS_MS:g} ms more for a request "
            "of one row; give it a twin for one row by mlops_assets.spec.called.by_row"
        )
    for way in on_demand_ways(spec.feature_service, repository_of(spec.use_case)):
        if way.alone:
            yield (
                f"on-demand view {way.view!r} ({way.place}) is called in Feast's mode {way.mode} alone: about "
                f"{FRAME_MS.get(way.mode, 2.0):g} ms more for a request of one row; give a function of one row in a "
                "feature_repo.forms.Form, which takes microseconds"
            )
