"""What a cluster is given of a roll-out: the share for KServe, the pace for KubeRay, nothing for the Deployment that divides itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.cli import main
from mlops_assets.promotion.rollout_states import rollout_lock, steps_in, under_way
from mlops_assets.promotion.rollouts import Act, RolloutError, move
from mlops_assets.stages.rollout_manifests import TEMPLATES, manifest_of
from mlops_assets.stages.rollout_start import ask, start
from resources.moments import read_moment
from resources.systems import Systems
from tests.acceptance.kustomized import rendered
from tests.crds import mistakes, pods_of
from tests.pumps.promotion import NAME, copied, spec
from tests.rollout_stands import CANARY, PLAN, STEP, stands

KUBERNETES = "1.31"
PLACES: dict[str, tuple[Any, int, int, int | None]] = {
    "never one": (None, 7, 7, None),
    "shadow": (stands("running", 0), 7, 7, None),
    "canary 0.05": (stands("running", 1), 7, 8, 5),
    "canary 0.25": (stands("running", 2), 7, 8, 25),
    "full": (stands("running", 3), 7, 8, 100),
    "completing": (stands("completing", 3), 7, 8, None),
    "promoted in the shadow": (stands("completing", 0), 7, 8, None),
    "completed": (stands("completed", 3), 8, 8, None),
    "rolling back": (stands("rolling_back", 2), 7, 8, 0),
    "rolled back": (stands("rolled_back", 2), 7, 8, 0),
    "aborted": (stands("aborted", 3), 7, 8, 0),
    "rolled back in the shadow": (stands("rolled_back", 0), 7, 7, None),
    "another champion since": (stands("rolled_back", 2), 9, 9, None),
}
"""A place: the roll-out, the version that is published, whose requests new pods have under KServe, and the percentage."""

WHERE = pytest.mark.parametrize("place", PLACES)


def told(pod: dict[str, Any]) -> str:
    [value] = [one["value"] for one in pod["containers"][0]["env"] if one["name"] == "MLOPS_SERVE_VERSIONS"]
    return value


def inference_service(place: str) -> dict[str, Any]:
    state, published, *_ = PLACES[place]
    return manifest_of("kserve", "trips", state, published)


def ray_service(place: str) -> dict[str, Any]:
    state, published, *_ = PLACES[place]
    return manifest_of("kuberay", "trips", state, published)


@WHERE
def test_kserve_sends_the_plan_s_share_to_pods_of_the_version(place):
    _, _, version, percent = PLACES[place]
    predictor = inference_service(place)["spec"]["predictor"]
    assert (told(predictor), predictor.get("canaryTrafficPercent")) == (f"trips={version}", percent)


def test_kserve_makes_no_new_pods_for_another_share():
    shares = [
        inference_service(place)
        for place in ("canary 0.05", "canary 0.25", "full", "rolling back", "completed")
    ]
    for one in shares:
        one["spec"]["predictor"].pop("canaryTrafficPercent", None)
    assert all(one == shares[0] for one in shares)


@WHERE
def test_kuberay_makes_a_second_cluster_for_the_version_and_goes_back_to_the_champion_s(place):
    _, _, version, percent = PLACES[place]
    cluster = ray_service(place)["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    expected = "trips=7" if percent == 0 else f"trips={version}"
    assert {told(group["template"]["spec"]) for group in groups} == {expected}


def test_the_cluster_of_a_roll_back_is_the_one_from_before_so_that_kuberay_moves_requests_back():
    before, after = ray_service("shadow")["spec"], ray_service("rolling back")["spec"]
    assert before["rayClusterConfig"] == after["rayClusterConfig"]
    assert before["rayClusterConfig"] != ray_service("canary 0.05")["spec"]["rayClusterConfig"]


def pace(manifest: dict[str, Any]) -> tuple[int, int]:
    options = manifest["spec"]["upgradeStrategy"]["clusterUpgradeOptions"]
    assert options["maxSurgePercent"] >= options["stepSizePercent"] and options["gatewayClassName"]
    return options["stepSizePercent"], options["intervalSeconds"]


def test_kuberay_moves_the_smallest_rise_after_the_longest_bake_and_everything_at_once_where_that_is_decided():
    canary = {place for place in PLACES if place.startswith("canary")} | {"shadow"}
    assert {pace(ray_service(place)) for place in canary} == {(5, 2 * 86_400)}
    assert {pace(ray_service(place)) for place in PLACES.keys() - canary} == {(100, 1)}


@given(
    st.lists(
        st.tuples(st.integers(1, 99), st.integers(1, 9)),
        min_size=1,
        max_size=4,
        unique_by=lambda step: step[0],
    ),
    st.integers(1, 9),
)
def test_kuberay_is_never_ahead_of_a_plan_that_does_not_wait(steps, last):
    canary = [STEP | {"share": share / 100, "bake": f"{days}d"} for share, days in sorted(steps)]
    plan = PLAN | {"canary": canary, "full": STEP | {"bake": f"{last}d"}}
    state = stands("running", 1, plan)
    size, interval = pace(manifest_of("kuberay", "trips", state, 7))
    begins = 0.0
    for step in steps_in(state)[1:-1]:
        ends = begins + step.bake.total_seconds()
        assert size * (1 + (ends - 1) // interval) <= round(100 * step.share)
        begins = ends


@WHERE
@pytest.mark.parametrize("render", [inference_service, ray_service])
def test_each_is_what_kserve_and_kuberay_take_and_its_pods_are_pods(
    place: str, render: Callable[[str], dict[str, Any]]
):
    manifest = render(place)
    assert mistakes(manifest) == []
    for pod in pods_of(manifest):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def changed(manifest: dict[str, Any], path: str, name: str, value: Any) -> dict[str, Any]:
    """With a field of another name or value at a place."""
    part = manifest
    for key in path.split("."):
        part = part[key]
    part[name] = value
    return manifest


@pytest.mark.parametrize(
    ("render", "path", "name", "value"),
    [
        (inference_service, "spec.predictor", "canaryTrafficPercentage", 5),
        (inference_service, "spec.predictor", "canaryTrafficPercent", "5"),
        (inference_service, "spec", "canaryTrafficPercent", 5),
        (ray_service, "spec.upgradeStrategy", "stepSizePercent", 5),
        (ray_service, "spec.upgradeStrategy.clusterUpgradeOptions", "interval", 5),
        (ray_service, "spec.upgradeStrategy.clusterUpgradeOptions", "stepSizePercent", 0.5),
        (ray_service, "spec", "rayClusterSpec", {}),
    ],
)
def test_a_field_that_is_wrong_is_seen(render, path, name, value):
    assert mistakes(changed(render("canary 0.05"), path, name, value)) != []


def test_an_upgrade_without_its_gateway_is_seen():
    manifest = ray_service("canary 0.05")
    del manifest["spec"]["upgradeStrategy"]["clusterUpgradeOptions"]["gatewayClassName"]
    [mistake] = mistakes(manifest)
    assert "gatewayClassName" in mistake


@WHERE
def test_the_deployment_is_the_same_wherever_the_roll_out_stands(place):
    state, published, *_ = PLACES[place]
    shipped = yaml.safe_load_all(TEMPLATES["deployment"][1].read_text())
    deployment = manifest_of("deployment", "trips", state, published)
    assert deployment in list(shipped)
    assert "MLOPS_SERVE_VERSIONS" not in str(deployment)


def test_pods_behind_a_router_are_those_of_the_deployment_but_for_what_they_are_told():
    [deployment] = [
        one
        for one in rendered("base")
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "endpoint"
    ]
    own = deployment["spec"]["template"]["spec"]["containers"][0]
    behind = inference_service("canary 0.05")["spec"]["predictor"]["containers"][0]
    same = ("image", "command", "args", "envFrom", "volumeMounts")
    assert [behind[name] for name in same] == [own[name] for name in same]
    assert behind["env"] == [*own["env"], {"name": "MLOPS_SERVE_VERSIONS", "value": "trips=8"}]


ENTITIES = PLAN | {"judge": "split", "by": ["carrier"], "answers_influence_labels": True}
TENTHS = PLAN | {"canary": [CANARY[0] | {"share": 0.125}]}


@pytest.mark.parametrize("target", ["kserve", "kuberay"])
@pytest.mark.parametrize(
    ("plan", "says"), [(ENTITIES, "one entity would meet both"), (TENTHS, "0.125 is no whole")]
)
def test_what_a_router_cannot_divide_is_refused(target, plan, says):
    with pytest.raises(RolloutError, match=f"{says}.*--render deployment"):
        manifest_of(target, "trips", stands("running", 1, plan), 7)
    assert manifest_of("deployment", "trips", stands("running", 1, plan), 7)["kind"] == "Deployment"


def test_a_template_of_one_s_own_is_filled_in_and_another_kind_is_refused(tmp_path: Path):
    shipped = TEMPLATES["kserve"][1].read_text()
    own = tmp_path / "own.yaml"
    own.write_text(shipped.replace("namespace: mlops", "namespace: risk"))
    manifest = manifest_of("kserve", "late_trips_", None, 3, own)
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("late-trips", "risk")
    with pytest.raises(RolloutError, match="0 objects of the kind RayService: keep one"):
        manifest_of("kuberay", "trips", None, 3, own)
    with pytest.raises(RolloutError, match="does not exist: name a template of a RayService"):
        manifest_of("kuberay", "trips", None, 3, tmp_path / "none.yaml")


def test_the_application_that_the_ray_service_names_is_there_and_takes_no_argument():
    from resources.serving.ray_application import application
    from resources.state_folder import SettingsError

    named = yaml.safe_load(ray_service("shadow")["spec"]["serveConfigV2"])
    assert [one["import_path"] for one in named["applications"]] == [
        f"{application.__module__}:{application.__name__}"
    ]
    with pytest.raises(SettingsError, match="leave it empty"):
        application({"version": "8"})


ROLLED = spec(
    rollout={name: step for name, step in PLAN.items() if name != "canary"} | {"canary": CANARY[:1]}
)


@pytest.mark.usefixtures("pumps_features")
def test_the_command_prints_where_the_newest_roll_out_stands(
    championed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    systems = Systems.of(copied(championed, tmp_path).parts)
    monkeypatch.setattr("mlops_assets.commands.rollout._spec", lambda model: ROLLED)
    monkeypatch.setattr(Systems, "of", lambda parts: systems)

    def printed(*arguments: str) -> dict[str, Any]:
        assert main(["rollout", NAME, "--render", *arguments]) == 0
        return yaml.safe_load(capsys.readouterr().out)["spec"]["predictor"]

    def share() -> tuple[str, int | None]:
        predictor = printed("kserve")
        return told(predictor), predictor.get("canaryTrafficPercent")

    assert share() == (f"{NAME}=2", None)
    start(ROLLED, systems, 1, "ada", "to see")
    assert share() == (f"{NAME}=2", None)
    with rollout_lock(systems.audit, NAME):
        state = under_way(systems.lake, NAME)
        assert state is not None
        move(systems, state, Act("advanced", "ada", "as a look would", read_moment(state.since), {}))
    assert share() == (f"{NAME}=1", 5)
    ask(ROLLED, systems, "aborted", "ada", "enough")
    assert share() == (f"{NAME}=1", 0)
    assert main(["rollout", NAME, "abort", "--render", "kserve"]) == 1
    assert "--render shows where things stand, and this is abort" in capsys.readouterr().err
