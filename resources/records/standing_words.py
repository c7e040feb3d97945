"""How a model stands, in the words that the command, the asset's table and the endpoint's page share."""

from datetime import datetime

from resources.records.standing import Platform, Standing

LINK_OF = {
    "champion": "registry",
    "data": "data",
    "quality": "performance",
    "drift": "drift",
    "roll-out": "rollout",
    "traffic": "endpoint",
    "cost": "model",
}
"""Which of a model's links leads to what a line is about."""


def headline(platform: Platform) -> str:
    """How many models there are, and of how many something is asked."""
    number, urgent = len(platform.models), sum(bool(one.needs_hands) for one in platform.models)
    models = "1 model" if number == 1 else f"{number} models"
    if not urgent:
        return f"{models}, " + (
            "none needs hands, but the platform does" if platform.waits else "nothing needs hands"
        )
    needs = "1 needs hands" if urgent == 1 else f"{urgent} need hands"
    return f"{models}, {needs}" + (", and the platform does" if platform.waits else "")


def lines(one: Standing) -> dict[str, str]:
    """A line for each thing there is to know of a model, by its name; a dash where nothing is known."""
    return {
        "champion": champion(one),
        "data": data(one),
        "quality": quality(one),
        "drift": drift(one),
        "roll-out": rollout(one),
        "traffic": traffic(one),
        "cost": cost(one),
        "alerts": "; ".join(one.alerts) or "none",
        "waits": "; ".join(one.waits) or "nothing",
    }


def champion(one: Standing) -> str:
    """The version that answers, since when."""
    if one.champion is None:
        return "none"
    since = f", since {minute(one.champion_since)}" if one.champion_since else ""
    return f"version {one.champion}{since}{_days(one.champion_age_days, ', {} old')}"


def data(one: Standing) -> str:
    """The newest partition and how long it has been over."""
    if one.newest_partition is None:
        return "nothing is ingested"
    end = f", until {minute(one.partition_end)}" if one.partition_end else ""
    hours = one.freshness_hours
    return f"{one.newest_partition}{end}" + (f", {hours:,.1f} h ago" if hours else "")


def quality(one: Standing) -> str:
    """The metric with its interval, its floor, and the share of rows with a label."""
    if one.metric is None or one.quality is None:
        return "-"
    known = one.quality_low is not None and one.quality_high is not None
    interval = f" ({one.quality_low:.4f} to {one.quality_high:.4f})" if known else ""
    floor = f", floor {one.floor:g}" if one.floor is not None else ""
    return f"{one.metric} {one.quality:.4f}{interval}{floor}{share_of_labels(one)}, {one.quality_partition}"


def share_of_labels(one: Standing) -> str:
    """How many of the rows that could have a label by now have one."""
    return "" if one.coverage is None else f", {one.coverage:.0%} labelled"


def drift(one: Standing) -> str:
    """How far the scores moved, and whether that is an alarm."""
    if one.drift_partition is None:
        return "-"
    limit = f" of {one.drift_limit:g}" if one.drift_limit is not None else ""
    moved = f"PSI {one.drift:.4f}{limit}" if one.drift is not None else "no PSI"
    alarm = {True: "alarm", False: "no alarm", None: "no alarm is defined"}[one.alarm]
    remark = f" ({one.alarm_remark})" if one.alarm_remark else ""
    return f"{moved}, {alarm}{remark}, {one.drift_partition}"


def rollout(one: Standing) -> str:
    """Where the roll-out stands and what it waits for."""
    if one.rollout is None:
        return "none"
    share = f", {one.rollout_share:.0%} of the requests" if one.rollout_share is not None else ""
    return f"{one.rollout}{share}" + (f"; waits for {one.rollout_waits}" if one.rollout_waits else "")


def traffic(one: Standing) -> str:
    """What was asked of the model in a day."""
    if one.requests_24h is None:
        return "-"
    return f"{one.requests_24h:,} rows answered in 24 h"


def cost(one: Standing) -> str:
    """What the model's runs took since the month began."""
    return "-" if one.cost_month is None else f"{amount(one.cost_month)} {one.cost_unit} this month"


def amount(cost: float) -> str:
    """A cost to a hundredth, a small one to two digits."""
    return f"{cost:,.2f}" if cost >= 1 else f"{cost:.2g}"


def minute(moment: str | None) -> str:
    """A moment as people read it."""
    if moment is None:
        return "-"
    at = datetime.fromisoformat(moment)
    return f"{at:%Y-%m-%d %H:%M} {at.tzname() or ''}".rstrip()


def _days(days: float | None, words: str) -> str:
    return "" if days is None else words.format("1 day" if round(days) == 1 else f"{days:,.0f} days")
