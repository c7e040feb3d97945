"""A challenger that passes the gate while a roll-out is under way: held back, judged again, and begun once that has ended."""

from pathlib import Path

import pytest

from mlops_assets.promotion.errors import HeldBackError
from mlops_assets.promotion.rollout_states import newest
from mlops_assets.promotion.rollouts import Act, act
from mlops_assets.stages.deploying import deploy
from mlops_assets.stages.rollout_start import start
from resources.records.rollout import TransitionKind
from resources.systems import Systems
from tests.pumps.project import WEEKS
from tests.pumps.promotion import FIRST, NAME, NAMES, Project, add_week, copied, spec

pytestmark = pytest.mark.usefixtures("pumps_features")
STEP = {"bake": "6d", "minimum_samples": 20}
PLANNED = spec(
    rollout={
        "answers_influence_labels": False,
        "shadow": STEP,
        "canary": [],
        "full": STEP,
        "ask_after": "21d",
    }
)


@pytest.fixture(scope="module")
def held(championed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 is rolled out beside champion 2, and challenger 3 has passed meanwhile."""
    project = copied(championed, tmp_path_factory.mktemp("held"))
    start(PLANNED, Systems.of(project.parts), 1, "ada", "to see")
    for week in (FIRST, FIRST + 1):
        add_week(project.lake, NAMES[week])
    project.make(PLANNED)
    return project.home


@pytest.fixture
def project(held: Path, tmp_path: Path) -> Project:
    return copied(held, tmp_path)


def ended(project: Project, kind: TransitionKind) -> None:
    act(
        Systems.of(project.parts), NAME, Act(kind, "lin", "enough", WEEKS.partition(NAMES[FIRST + 1]).end, {})
    )


def log_of(project: Project, *kinds: str) -> list[tuple[str, int | None]]:
    return [one for one in project.log if one[0] in kinds]


def test_it_is_held_back_by_name_and_begins_once_the_champion_has_stayed(project):
    assert log_of(project, "held_back") == [("held_back", 3)]
    with pytest.raises(
        HeldBackError, match="version 3 passed the gate, and its turn comes when this has ended"
    ):
        deploy(PLANNED, Systems.of(project.parts), {})
    ended(project, "aborted")
    project.make(PLANNED, "evaluation", "deployment")
    state = newest(project.lake, NAME)
    assert (state.number, state.version, state.champion, state.phase) == (2, 4, 2, "running")
    assert state.promise.evidence["challenger"] == 3
    assert log_of(project, "held_back", "evaluated")[-2:] == [("evaluated", 3), ("held_back", 3)]


def test_it_is_judged_beside_the_champion_that_the_rollout_made_before_it_begins(project):
    ended(project, "promoted")
    project.make(PLANNED, "evaluation", "deployment")
    state, judged = newest(project.lake, NAME), project.audit.latest(NAME, ("evaluated",))
    assert (state.number, state.version, state.champion, state.phase) == (2, 4, 1, "running")
    assert (judged.version, judged.evidence["champion"]) == (3, 1)
    assert state.promise.evidence["evaluation"] == judged.evidence["evaluation"]
    ended(project, "promoted")
    assert project.champion == 4 and project.audit.verify(project.tracking.anchors()).problem is None


def test_one_that_was_trained_after_it_takes_its_turn_and_the_log_says_so_once(project):
    add_week(project.lake, NAMES[FIRST + 2])
    project.make(PLANNED)
    assert log_of(project, "held_back", "superseded") == [
        ("held_back", 3),
        ("superseded", 3),
        ("held_back", 4),
    ]
    entry = project.audit.latest(NAME, ("superseded",))
    assert entry.why.startswith("version 4 was trained and judged after it: ")
    ended(project, "aborted")
    project.make(PLANNED, "evaluation", "deployment")
    assert newest(project.lake, NAME).promise.evidence["challenger"] == 4
    assert log_of(project, "superseded") == [("superseded", 3)]
