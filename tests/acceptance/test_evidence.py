"""Why a version was promoted or not, as the records say it: the real assets on pumps, with every end that a challenger may have."""

import pytest

from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.evidence import UNHASHED, Evidence, evidence_of
from mlops_assets.stages.judging import attempt_name
from resources.records.attempts import Attempt
from resources.records.documents import load_record
from resources.systems import Systems
from tests.pumps.promotion import AUTOMATIC, BY_ADA, FIRST, NAMES, OUT_OF_REACH, Project, add_week, spec

pytestmark = pytest.mark.usefixtures("pumps_features")


def evidence(project: Project, version: int, given: ModelSpec = AUTOMATIC) -> Evidence:
    return evidence_of(given, Systems.of(project.parts), version)


def attempt(project: Project, week: str) -> Attempt | None:
    return load_record(project.lake, Attempt, attempt_name(AUTOMATIC, week))


def test_a_promotion_has_its_evaluation_and_all_its_entries_whichever_of_its_two_fits_is_asked(project):
    project.make(AUTOMATIC)
    challenger, champion = (evidence(project, version) for version in (1, 2))
    assert challenger.outcome == champion.outcome
    assert challenger.outcome.startswith("promoted as version 2, champion since 2024-02-05")
    assert challenger.evaluation == champion.evaluation == attempt(project, NAMES[FIRST - 1])
    assert challenger.criteria["passes"].all() and challenger.objection is None
    assert champion.log["kind"].to_list() == ["trained", "evaluated", "trained", "promoted"]
    assert champion.why == champion.entries[-1].why


def test_a_challenger_that_did_not_pass_has_the_test_that_it_failed(project):
    project.make(AUTOMATIC)
    for name in NAMES[FIRST : FIRST + 2]:
        add_week(project.lake, name)
    project.make(spec(gate=OUT_OF_REACH), "model", "evaluation")
    found = evidence(project, 3)
    assert found.outcome == "not promoted: it did not pass the gate"
    assert found.why.startswith("Rejected: auc ") and str(found).endswith(found.why)
    assert (
        not found.criteria["passes"].all()
        and found.clusters["rows"].sum() == attempt(project, NAMES[FIRST + 1]).hold_out.rows
    )  # type: ignore[union-attr]
    assert evidence(project, 1).outcome.startswith("promoted as version 2, champion since ")


def test_what_took_a_champions_place_is_told_and_so_is_the_way_back(project):
    project.make(AUTOMATIC)
    for name in NAMES[FIRST : FIRST + 2]:
        add_week(project.lake, name)
    project.make(AUTOMATIC)
    assert evidence(project, 2).outcome.startswith(
        "promoted as version 2, replaced by version 4 on 2024-02-19"
    )
    project.back()
    assert evidence(project, 4).outcome.startswith("promoted as version 4, rolled back to version 2 on ")
    assert evidence(project, 4).log["kind"].to_list()[-1] == "rolled_back"


def test_a_persons_no_is_the_reason_and_one_who_has_not_spoken_yet_is_none(project):
    project.make(BY_ADA)
    waits = evidence(project, 1, BY_ADA)
    assert waits.outcome == "not promoted: it passed the gate, and no promotion followed"
    assert project.decide(
        "reject_challenger", version=1, by="lin", reason="not before the inspection"
    ).success
    said = evidence(project, 1, BY_ADA)
    assert said.outcome == "not promoted: rejected by lin" and said.why.startswith(
        "not before the inspection; "
    )


def test_a_record_that_is_not_the_one_of_the_log_is_not_shown(project):
    project.make(AUTOMATIC)
    name = attempt_name(AUTOMATIC, NAMES[FIRST - 1])
    record = project.lake.read_json(name)
    project.lake.write_json(name, record | {"verdict": "Promoted: because I say so."})
    found = evidence(project, 2)
    assert found.evaluation is None and found.notes == (UNHASHED,)
    assert found.criteria.is_empty() and found.clusters.is_empty()


def test_a_version_that_was_trained_and_not_judged_says_so(project):
    project.make(AUTOMATIC, "model")
    assert evidence(project, 1).outcome == "not judged"
