"""The time windows that data is cut into; models are not partitioned, their versions live in the registry."""

import dagster as dg

from mlops_assets.spec.model import Weeks


def weekly(weeks: Weeks) -> dg.TimeWindowPartitionsDefinition:
    """One partition a week from the spec's start, cut at local midnight, named by its first day."""
    return dg.TimeWindowPartitionsDefinition(
        start=weeks.start.isoformat(),
        end=weeks.end.isoformat(),
        timezone=weeks.timezone,
        fmt="%Y-%m-%d",
        cron_schedule=f"0 0 * * {weeks.start.isoweekday() % 7}",
    )
