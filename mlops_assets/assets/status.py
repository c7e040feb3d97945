"""The platform's status: how every model stands, on one page for whoever is on call."""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from mlops_assets.kit.stage import Run, stage
from mlops_assets.kit.status_page import STATUS, described, status_metadata, tell, with_costs
from mlops_assets.spec.model import ModelSpec
from resources.clock import wall

USES = ("audit", "endpoint", "clock", "serving_log", "pages")
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
        instance, now = run.context.instance, wall()
        platform = with_costs(described(run.systems, specs(), broken(), instance, now), instance, now)
        tell(run.systems, platform)
        yield dg.MaterializeResult(metadata=status_metadata(platform))

    return status_
