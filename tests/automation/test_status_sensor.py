"""The status is written where it is another or old, and the asset's page has an event only where it is another."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.assets.status import status
from mlops_assets.automation.alerting import alert_sensor
from mlops_assets.automation.looked import Looks
from mlops_assets.automation.status import OLD, brought_up, status_sensor
from mlops_assets.kit.described import described
from mlops_assets.kit.status_page import STATUS
from mlops_assets.promotion.holds import pause
from mlops_assets.stages.standing import describe_platform
from resources.lake.lake import Lake
from resources.local import local_resources
from resources.serving import status_notice
from resources.settings import settings
from resources.systems import Systems
from tests.ml.conftest import parcel_spec

SPECS = {"late_parcel": parcel_spec()}


class InAReplay(Lake):
    """A lake on which another process works alone."""

    def worked_on(self) -> str | None:
        return "a replay"


@pytest.fixture
def parts(tmp_path: Path):
    return local_resources(settings({"MLOPS_HOME": str(tmp_path)}))


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def events(instance: dg.DagsterInstance) -> int:
    found = instance.fetch_materializations(dg.AssetKey(STATUS), limit=50)
    return len(found.records)


def look(instance: dg.DagsterInstance, parts: dict, later: timedelta = timedelta()) -> str:
    systems = Systems.of(parts)
    platform = described(systems, SPECS, {}, instance)
    at = datetime.fromisoformat(platform.asked_at) + later
    return brought_up(instance, systems, replace(platform, asked_at=at.isoformat()))


def test_what_is_the_same_is_written_again_only_when_it_is_old_and_gives_no_event(instance, parts, tmp_path):
    notice = tmp_path / "serving" / status_notice.STATUS
    assert look(instance, parts) == "1 model, nothing needs hands"
    first = notice.stat().st_mtime_ns
    look(instance, parts)
    assert (notice.stat().st_mtime_ns, events(instance)) == (first, 1)
    look(instance, parts, OLD + timedelta(seconds=1))
    assert notice.stat().st_mtime_ns > first
    assert events(instance) == 1


def test_what_is_another_is_told_at_once_on_the_page_and_to_the_endpoint(instance, parts, tmp_path):
    look(instance, parts)
    pause(parts["audit"], parts["endpoint"], None, "lin", "a storm")
    look(instance, parts)
    assert events(instance) == 2
    (model,) = json.loads((tmp_path / "serving" / status_notice.STATUS).read_text())["models"]
    assert "a storm" in model["waits"][0]


def test_the_asset_writes_the_same_and_shows_it(instance, parts, tmp_path):
    asset = status(lambda: SPECS, lambda: {"shops": "use_case.yaml:3: calendar: is missing\nmore"})
    spec_of_reports = [dg.AssetSpec(["late_parcel", name]) for name in ("performance", "drift")]
    made = dg.materialize([asset, *spec_of_reports], instance=instance, resources=parts)
    (event,) = made.asset_materializations_for_node("platform__status")
    assert event.metadata["status"].value == "1 model, none needs hands, but the platform does"
    assert "the use case shops does not load: use_case.yaml:3: calendar: is missing" in str(
        event.metadata["needs hands"].value
    )
    document = json.loads((tmp_path / "serving" / status_notice.STATUS).read_text())
    assert [one["model"] for one in document["models"]] == ["late_parcel"]


def test_the_sensor_looks_by_itself_but_leaves_a_state_alone_that_a_replay_works_on(
    instance, parts, tmp_path
):
    sensor = status_sensor(lambda: SPECS, dict)

    def ticked(parts: dict) -> str | None:
        with dg.build_sensor_context(instance=instance, resources=parts) as context:
            said = sensor(context)
        assert isinstance(said, dg.SkipReason)
        return said.skip_message

    busy = parts | {"lake": InAReplay(root=parts["lake"].root)}
    assert (ticked(busy), events(instance)) == ("a replay is at work on this state alone", 0)
    assert (ticked(parts), events(instance)) == ("1 model, nothing needs hands", 1)


def test_the_alerts_take_how_the_models_stand_from_the_look_of_the_same_minute_once_and_else_look_themselves(
    instance, parts, monkeypatch
):
    asked: list[list[str]] = []

    def counted(systems: Systems, specs: dict, *more):
        asked.append([*specs])
        return describe_platform(systems, specs, *more)

    for module in ("mlops_assets.stages.alerting", "mlops_assets.kit.described"):
        monkeypatch.setattr(f"{module}.describe_platform", counted)
    needed = ("lake", "endpoint", "audit", "clock", "serving_log", "pages", "alerts")
    with dg.build_sensor_context(instance, resources={name: parts[name] for name in needed}) as context:
        for sensor in (status_sensor(lambda: SPECS, dict), *[alert_sensor(lambda: SPECS)] * 2):
            sensor.evaluate_tick(context)
            asked.append([])
    assert asked == [["late_parcel"], [], [], ["late_parcel"], []]


def test_a_look_that_is_old_or_of_another_state_is_none(parts, tmp_path):
    platform = described(Systems.of(parts), SPECS, {}, None)
    for looks, lake, taken in (
        (Looks(), parts["lake"], ["late_parcel"]),
        (Looks(good_for_s=-1), parts["lake"], []),
        (Looks(), Lake(root=str(tmp_path / "another")), []),
    ):
        looks.keep(parts["lake"], platform)
        assert [*looks.take(lake)] == taken
