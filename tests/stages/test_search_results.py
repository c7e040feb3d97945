"""What a training takes from a search: the winner as it was found, in its own time, and nothing that was changed since."""

import pytest

from mlops_assets.assets.bundle import STAGES, model_assets
from mlops_assets.assets.model import fit_metadata
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.tuning.trials import parameters_hash, with_found
from mlops_assets.promotion.records import record_evaluated
from mlops_assets.spec.decides import spec_digest
from mlops_assets.stages.card import gather, sections
from mlops_assets.stages.deploying import deploy
from mlops_assets.stages.errors import AlteredRecordError
from mlops_assets.stages.judging import judge_challenger
from mlops_assets.stages.search_results import newest_result, parameters_in, training_spec
from mlops_assets.stages.training import train_challenger, training_files
from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.records.attempts import Attempt
from resources.records.documents import save_record
from resources.serving.ray_serve import Endpoint
from resources.systems import Systems
from resources.tracking.tracking import Tracking
from tests import record_samples
from tests.parcel_weeks import parcel_lake, search_spec

pytestmark = pytest.mark.usefixtures("flights_features")
SPEC = search_spec()
NAME, WEEK = SPEC.name, "2020-02-10"
FOUND = {"max_depth": 3, "eta": 0.2}


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Six weeks of parcels, and a search that ended with them."""
    lake = parcel_lake(tmp_path / "lake", SPEC)
    write_result(lake, FOUND)
    return lake


@pytest.fixture
def tracking(tmp_path) -> Tracking:
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))


def write_result(lake: Lake, parameters: dict, **changes) -> None:
    facts = {"week": WEEK, "parameters": parameters, "sha256": parameters_hash(parameters)}
    save_record(lake, f"{NAME}/search/{WEEK}", record_samples.search_result(**facts | changes))


def judged(lake: Lake, tracking: Tracking, folder) -> Attempt:
    audit = Audit(folder=str(folder / "audit"))
    attempt = judge_challenger(
        SPEC, Systems(lake, tracking=tracking, audit=audit), {"reason": "by hand"}
    ).attempt
    record_evaluated(audit, SPEC, attempt, {})
    return attempt


def deployed(lake: Lake, tracking: Tracking, folder):
    endpoint, audit = Endpoint(folder=str(folder / "serving")), Audit(folder=str(folder / "audit"))
    return deploy(SPEC, Systems(lake=lake, tracking=tracking, endpoint=endpoint, audit=audit), {})


def test_a_refit_follows_its_challenger_although_another_search_has_ended_since(lake, tracking, tmp_path):
    challenger, _, _ = train_challenger(SPEC, Systems(lake, tracking=tracking), {})
    assert judged(lake, tracking, tmp_path).promote
    write_result(lake, {"max_depth": 4, "eta": 0.2})
    version, fitted, data = deployed(lake, tracking, tmp_path)
    followed = with_found(SPEC, FOUND)
    files = training_files(followed, data, hold_out=False)
    assert fitted.model == fit(files, followed, data.features, rounds=fitted.rounds).model
    assert version.tags["parameters"] == challenger.tags["parameters"]
    assert parameters_in(version.tags, "here") == {"eta": 0.2, "max_depth": 3}
    assert version.tags["spec"] == challenger.tags["spec"] == spec_digest(followed)
    assert version.tags["search"] == parameters_hash(FOUND)
    page = fit_metadata(fitted, version, data)
    assert page["parameters from"] == f"the search of {WEEK}: trial 1 of 2"
    pages = Pages(dagster="http://dagster", mlflow="http://mlflow")
    audit = Audit(folder=str(tmp_path / "audit"))
    known = gather(SPEC, version, Systems(lake, audit=audit, pages=pages))
    lineage = next(section for section in sections(known) if section.title == "Lineage")
    told = {fact.name: (fact.value, fact.source.link) for fact in lineage.facts}
    assert told["parameters from"][0] == f"the search of {WEEK}: trial 1 of 2"
    assert told["search result, SHA-256"] == (parameters_hash(FOUND), pages.asset(NAME, "search"))


def test_a_champion_by_searched_parameters_is_known_again_when_its_week_is_judged_again(
    lake, tracking, tmp_path
):
    train_challenger(SPEC, Systems(lake, tracking=tracking), {})
    first = judged(lake, tracking, tmp_path)
    deployed(lake, tracking, tmp_path)
    assert judged(lake, tracking, tmp_path) == first


def test_without_a_search_that_ended_the_spec_is_trained_and_the_page_says_so(tracking, tmp_path):
    lake = parcel_lake(tmp_path, SPEC)
    version, fitted, data = train_challenger(SPEC, Systems(lake, tracking=tracking), {})
    said = fit_metadata(fitted, version, data)["parameters from"]
    assert said == f"the spec: no search for the trainer xgboost has ended by {WEEK}"
    assert version.tags["spec"] == spec_digest(SPEC)


def test_a_spec_that_does_not_apply_the_search_trains_its_own_parameters(lake):
    spec, origin = training_spec(search_spec(apply=False), lake, WEEK)
    assert spec.trainer == SPEC.trainer
    assert origin == {"parameters_from": "the spec: search.apply is false"}


def test_a_training_of_an_earlier_week_does_not_know_a_later_search(lake):
    spec, origin = training_spec(SPEC, lake, "2020-02-03")
    assert spec == SPEC and "no search" in origin["parameters_from"]
    assert training_spec(SPEC, lake, "2020-03-02")[0] == with_found(SPEC, FOUND)


def test_parameters_of_another_kind_of_trainer_are_not_taken(lake):
    assert newest_result(search_spec(trainer={"kind": "lightgbm"}), lake, WEEK) is None


def test_parameters_that_were_changed_by_hand_are_refused(lake):
    write_result(lake, {"max_depth": 9}, sha256=parameters_hash(FOUND))
    with pytest.raises(AlteredRecordError, match="somebody changed them"):
        training_spec(SPEC, lake, WEEK)


def test_a_search_adds_one_asset_between_the_training_set_and_the_model():
    def deps(spec):
        return {a.key.path[-1]: {k.path[-1] for k in a.dependency_keys} for a in model_assets(spec)}

    spec = SPEC.model_copy(update={"feature_service": "flight_delay_v1"})
    plain, with_search = deps(spec.model_copy(update={"search": None})), deps(spec)
    assert len(plain) == len(STAGES) and plain["model"] == {"training_set"}
    assert with_search.keys() - plain.keys() == {"search"}
    assert with_search["search"] == {"training_set"} and with_search["model"] == {"training_set", "search"}
