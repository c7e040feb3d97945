"""The file of alerts names variables, reads one way, and sends every alert somewhere."""

from datetime import UTC, datetime

import pytest

from resources.alerts.policy import Policy, PolicyError, read_policy

WHOLE = """
routes: {team: MLOPS_ALERTS_TEAM, oncall: MLOPS_ALERTS_ONCALL}
send:
  - {severity: [critical], to: [oncall, team]}
  - {owner: [ada], to: [oncall]}
  - {to: [team]}
quiet: {from: "22:00", until: "07:00", zone: America/New_York}
escalate: {after_minutes: 30, to: [oncall]}
"""


def policy(tmp_path, text) -> Policy:
    file = tmp_path / "alerts.yaml"
    file.write_text(text)
    return read_policy(str(file))


def test_the_first_rule_that_takes_an_alert_says_its_routes(tmp_path):
    rules = policy(tmp_path, WHOLE)
    assert rules.routes_of("critical", "ada") == ("oncall", "team")
    assert rules.routes_of("warning", "ada") == ("oncall",)
    assert rules.routes_of("info", None) == ("team",)


def test_no_file_is_the_policy_that_tells_nobody():
    assert read_policy("").routes_of("critical", None) == ()


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-01-10T03:00", True),  # ten in the evening in New York
        ("2026-01-10T02:59", False),
        ("2026-01-10T12:00", False),  # seven in the morning there in winter
        ("2026-07-10T11:00", False),  # the same in summer, an hour earlier in UTC
        ("2026-07-10T10:59", True),
    ],
)
def test_quiet_hours_follow_the_zone_over_midnight_and_summer_time(moment, quiet, tmp_path):
    rules, now = policy(tmp_path, WHOLE), datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert rules.holds("warning", now) is quiet
    assert rules.holds("critical", now) is False


ADDRESS = "slack://" + "t0ken" * 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("MLOPS_ALERTS_TEAM", f'"{ADDRESS}"'), "route 'team' does not name an environment variable: give"),
        (("to: [oncall]}\nq", "to: [nobody]}\nq"), "is no route: name one of oncall, team"),
        (("  - {to: [team]}\n", ""), "an alert that no rule takes would reach nobody"),
        (("America/New_York", "New York"), "'New York' is no time zone: give a name"),
        (('"07:00"', '"22:00"'), "reads as never and as always"),
        (('"07:00"', '"25:00"'), "is no time of day"),
        (("after_minutes: 30", "after_minutes: 0"), "greater than 0"),
        (("severity: [critical]", "severity: [bad]"), "'critical', 'warning' or 'info'"),
        (("quiet:", "loud:"), "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_rule_and_without_an_address(change, says, tmp_path):
    if change[0].startswith("to: [oncall]"):
        change = (
            "escalate: {after_minutes: 30, to: [oncall]}",
            "escalate: {after_minutes: 30, to: [nobody]}",
        )
    text = WHOLE.replace(*change)
    assert text != WHOLE
    with pytest.raises(PolicyError) as error:
        policy(tmp_path, text)
    assert says in str(error.value) and "t0ken" not in str(error.value)


def test_a_file_that_is_not_there_is_told_with_its_variable(tmp_path):
    with pytest.raises(PolicyError, match=r"nowhere.yaml, which MLOPS_ALERTS names, is not there"):
        read_policy(str(tmp_path / "nowhere.yaml"))
