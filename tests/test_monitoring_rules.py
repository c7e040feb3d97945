"""Rules, their tests, their runbooks and the dashboards name the same things, and promtool accepts them."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from resources.alerts.alert import KINDS
from resources.settings import PROJECT_ROOT
from tests.conftest import needed_program

FOLDER = PROJECT_ROOT / "deployments" / "monitoring"
PAGE = (PROJECT_ROOT / "docs" / "alerts.md").read_text()
METRICS = (PROJECT_ROOT / "docs" / "metrics.md").read_text()
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
OF_PROMETHEUS = {"mlops_request_seconds_bucket", "mlops_cost_month_"}


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_rules_and_configuration_and_the_rules_do_on_recorded_series_what_they_should():
    promtool = needed_program("promtool", "apt-get install prometheus")
    assert f"SUCCESS: {len(RULES)} rules found" in run(promtool, "check", "rules", "rules.yml")
    run(promtool, "check", "config", "prometheus.yml")
    assert "SUCCESS" in run(promtool, "test", "rules", "rules_test.yml")


def test_every_rule_has_a_case_in_which_it_fires():
    fires = {
        case["alertname"]
        for test in yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fires == set(NAMES) and len(NAMES) == len(fires)


def test_every_rule_has_a_runbook_under_its_own_name_and_every_runbook_a_rule():
    runbooks = PAGE.partition("## Runbooks of the rules")[2]
    assert re.findall(r"^### (\w+)$", runbooks, re.MULTILINE) == NAMES
    assert [rule["annotations"]["runbook"] for rule in RULES] == [
        f"docs/alerts.md#{n.lower()}" for n in NAMES
    ]
    assert all(len(text.split()) > 12 for text in re.split(r"^### \w+$", runbooks, flags=re.MULTILINE)[1:])


def test_the_kinds_that_rules_name_are_kinds_of_alerts_and_the_page_lists_all_of_them():
    assert {rule["labels"]["kind"] for rule in RULES if "kind" in rule["labels"]} <= set(KINDS)
    listed = re.findall(r"^\| `(\w+)` \| (?:critical|warning|info|the rule's)", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(KINDS)


def queries() -> list[str]:
    boards = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("dashboards/*.json"))]
    shown = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in RULES)]


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_every_metric_that_is_asked_for_is_one_that_is_documented(query):
    asked = set(re.findall(r"\bmlops_\w+", query)) - OF_PROMETHEUS
    assert {name for name in asked if f"`{name}`" not in METRICS} == set()
