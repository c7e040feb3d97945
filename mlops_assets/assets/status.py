"""The platform's status: how every model stands, on one page for whoever is on call."""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from mlops_assets.kit.described import described
from mlops_assets.kit.stage import Run, stage
from mlops_assets.kit.status_page import STATUS, status_metadata, tell
from mlops_assets.spec.model import ModelSpec

USES = ("audit", "endpoint", "clock", "serving_log", "alerts", "pages")
REPORTS = ("performance", "drift")


def status(
    specs: Callable[[], Mapping[str, ModelSpec]], broken: Callable[[], Mapping[str, str]]
) -> dg.AssetsDefinition:
    """The asset `platform/status`; `broken` are the use cases that do not load, with why."""

    @stage(
        STATUS,
        after=[f"{name}/{report}" for name in sorted(specs()) for report in REPORTS],
        uses=list(USES),
        group_name="platform",
        kinds={"markdown"},
        description="How every model stands: champion, newest partition, quality, drift, roll-out, what waits for a person, "
        "traffic and cost, what needs hands on top. `mlops status` prints the same, and the endpoint's first page shows it. "
        "The sensor keep_platform_status writes it by itself; materializing writes it now.",
    )
    def status_(run: Run) -> Iterator[dg.MaterializeResult]:
        instance = run.context.instance
        platform = tell(run.systems, described(run.systems, specs(), broken(), instance), instance)
        yield dg.MaterializeResult(metadata=status_metadata(platform))

    return status_
