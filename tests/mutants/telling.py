"""Mutations of what tells people: routes, quiet hours, pauses between tries."""

from functools import partial

from tests.mutants.mutant import Mutant

ALERTS = partial(Mutant, "alerts")
OUTBOX = "tests/resources/alerts/test_outbox.py::"
RULES = "tests/resources/alerts/test_alert_policy.py::"

MUTANTS = (
    ALERTS(
        "what a receiver has taken is given to it again",
        "resources.alerts.changes:_is_due",
        "delivery.at is None and now >= read_moment(delivery.last_try) + pause_after(delivery.tries)",
        "now >= read_moment(delivery.last_try) + pause_after(delivery.tries)",
        f"{OUTBOX}test_one_alert_is_raised_once_and_told_once_however_often_it_is_seen",
    ),
    ALERTS(
        "what somebody has in hand is escalated",
        "resources.alerts.changes:due_routes",
        "() if settled else policy.escalates(state.severity, _first_told(state), now)",
        "policy.escalates(state.severity, _first_told(state), now)",
        f"{OUTBOX}test_what_nobody_acknowledges_goes_to_the_next_route_and_what_somebody_has_does_not",
    ),
    ALERTS(
        "a receiver that is away is asked as often as one that is there",
        "resources.alerts.changes:pause_after",
        "FIRST_PAUSE * 2 ** min(max(tries - 1, 0), DOUBLINGS)",
        "FIRST_PAUSE",
        f"{OUTBOX}test_the_pauses_between_tries_grow_up_to_an_hour",
    ),
    ALERTS(
        "quiet hours over midnight are none",
        "resources.alerts.policy:Quiet.holds",
        "local >= self.start or local < self.until",
        "local >= self.start and local < self.until",
        f"{RULES}test_quiet_hours_follow_the_zone_over_midnight_and_summer_time",
    ),
)
