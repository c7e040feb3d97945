"""A replay with a plan for roll-outs: the rows of a week are the requests, and a week's end moves the roll-out on."""

import dagster as dg
import pytest

from mlops_assets.promotion.rollout_states import rollouts_of
from mlops_assets.replay.clock import Clock, Progress, sensors_of
from mlops_assets.replay.tables import partitions_table
from resources.audit.log import CHANGES
from resources.local import local_resources
from resources.serving.splits import split_file
from resources.settings import settings
from tests.flights.shortened import NEVER_REJECTED
from tests.pumps import project
from tests.pumps.project import SPEC, WEEKS

STEP = {"bake": "6d", "minimum_samples": 50}
PLANNED = SPEC.model_validate(
    SPEC.model_dump()
    | {
        "gate": NEVER_REJECTED["flight_delay"],
        "rollout": {
            "answers_influence_labels": False,
            "shadow": STEP,
            "canary": [],
            "full": STEP,
            "dry_run": ["auc"],
        },
    }
)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Nine weeks of pumps, replayed with a plan."""
    home = tmp_path_factory.mktemp("pumps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home))
        patch.setenv("MLOPS_FEATURE_REPO", "tests.pumps.repo")
        patch.setattr(project, "SPEC", PLANNED)
        resources = local_resources(settings())
        (home / "dagster").mkdir()
        with dg.instance_for_test(temp_dir=str(home / "dagster")) as instance:
            defs = project.definitions(resources)
            Clock(defs, instance, resources["lake"], sensors_of(SPEC.name)).replay(
                "pumps", WEEKS.names(), Progress(9)
            )
            yield resources, instance


def test_the_first_champion_answers_at_once_and_the_next_version_takes_its_place_in_steps(replayed):
    resources, instance = replayed
    first, *later = resources["audit"].entries(SPEC.name, CHANGES)
    assert "rollout" not in first.evidence
    states = rollouts_of(resources["lake"], SPEC.name)
    assert states and states[0].champion == first.version
    assert [change.evidence["rollout"] for change in later] == [
        s.id for s in states if s.phase == "completed"
    ]
    assert all(run.is_success for run in instance.get_runs())


def test_each_step_ends_with_a_week_by_the_evidence_of_its_rows(replayed):
    resources, _ = replayed
    state = rollouts_of(resources["lake"], SPEC.name)[0]
    ends = {WEEKS.partition(name).end.isoformat() for name in WEEKS.names()}
    assert {one.moment for one in state.transitions} <= ends
    assert len({one.moment for one in state.transitions}) == len(state.transitions)
    assert [one.kind for one in state.transitions][:2] in (
        ["started", "advanced"],
        ["started", "rolled_back"],
    )
    decided = state.transitions[1].evidence
    assert decided["requests"] == 336 and decided["metric"]["clusters"] == 7
    assert None not in decided["dry run"]["auc"]


def test_the_table_of_the_replay_tells_what_was_rolled_out_and_how_it_went(replayed):
    resources, _ = replayed
    table = partitions_table(PLANNED, resources["lake"])
    state = rollouts_of(resources["lake"], SPEC.name)[0]
    by_end = {
        WEEKS.partition(name).end.isoformat(): text
        for name, text in table.select("partition", "decision").rows()
    }
    assert f"rolled out as version {state.version}" in by_end[state.started]
    for one in state.transitions[1:]:
        assert f"the roll-out of version {state.version} {one.kind.replace('_', ' ')}" in by_end[one.moment]


def test_what_has_ended_leaves_no_split_and_its_page_has_the_time_line(replayed):
    resources, instance = replayed
    state = rollouts_of(resources["lake"], SPEC.name)[-1]
    there = split_file(resources["endpoint"].looked(), SPEC.name).exists()
    assert there == (not state.ended)
    event = instance.get_latest_materialization_event(dg.AssetKey([SPEC.name, "rollout"]))
    assert "data:image/png" in str(event.asset_materialization.metadata["time line"].value)
    assert resources["audit"].verify(resources["tracking"].anchors()).problem is None
