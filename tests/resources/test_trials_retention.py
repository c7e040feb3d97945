"""Trials of long ago go from MLflow for good; what a version is made of stays, whatever was broken off."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.tracking import retention
from resources.tracking.client import client_of
from resources.tracking.tracking import Tracking, TrackingError
from tests.resources.test_search_runs import TRIAL
from tests.resources.test_tracking import NAME, Killed, log, register


def retire(tracking: Tracking, before: datetime, dry: bool = False) -> tuple[int, int]:
    return tracking.retire_trials(before, dry)


LATER = datetime.now(UTC) + timedelta(days=1)


def runs(tracking: Tracking) -> dict[str, str]:
    """Every run that MLflow has, deleted ones included, by what it is."""
    from mlflow.entities import ViewType

    client = client_of(tracking.uri)
    homes = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(homes, run_view_type=ViewType.ALL)
    return {run.info.run_id: run.data.tags["kind"] for run in found}


def files(tracking: Tracking) -> set[Path]:
    return {
        path for path in Path(tracking.artifacts).rglob("*") if path.is_file() and ".locks" not in path.parts
    }


@pytest.fixture
def kept(tracking, model) -> Tracking:
    """A version, a challenger that is not registered, and a search's own run."""
    register(tracking, model, "fit-1")
    log(tracking, model, "fit-2", kind="challenger")
    tracking.open_search(NAME, "search-1", {"eta": "{}"}, {"seed": "0"})
    return tracking


def with_trials(tracking: Tracking, model: bytes) -> None:
    (parent,) = (run for run, kind in runs(tracking).items() if kind == "search")
    tracking.log_trial(NAME, parent, TRIAL)
    for number in (1, 2):
        log(tracking, model, f"trial-{number}", kind="trial")


def test_old_trials_go_with_their_files_and_all_else_stays(kept, model):
    before = runs(kept), files(kept)
    with_trials(kept, model)
    assert len(runs(kept)) == 6
    assert retire(kept, LATER, dry=True)[0] == 3
    assert len(runs(kept)) == 6
    number, size = retire(kept, LATER)
    assert number == 3
    assert size > len(model)
    assert (runs(kept), files(kept)) == before
    assert kept.load(kept.versions(NAME)[0]) == model
    assert retire(kept, LATER) == (0, 0)


def test_trials_of_late_stay(kept, model):
    with_trials(kept, model)
    assert retire(kept, datetime.now(UTC) - timedelta(days=1)) == (0, 0)
    assert len(runs(kept)) == 6


def test_a_trial_that_a_version_was_made_of_stays(kept, model):
    run = log(kept, model, "trial-1", kind="trial")
    version = kept.register("parcels_by_hand", run, "trial-1")
    assert retire(kept, LATER) == (0, 0)
    assert kept.load(version) == model


def test_a_trial_that_is_logged_again_is_a_new_one(kept, model):
    first = log(kept, model, "trial-1", kind="trial")
    retire(kept, LATER)
    assert log(kept, model, "trial-1", kind="trial") != first
    assert sorted(runs(kept).values()) == ["challenger", "refit", "search", "trial"]


@pytest.mark.parametrize("calls", range(9))
def test_a_removal_that_is_killed_is_ended_by_the_next(kept, model, calls, monkeypatch):
    before = runs(kept), files(kept)
    with_trials(kept, model)
    made = [0]
    client = client_of(kept.uri)

    def killed_after(owner, name):
        whole = getattr(owner, name)

        def part(*arguments):
            if made[0] == calls:
                raise Killed
            made[0] += 1
            return whole(*arguments)

        monkeypatch.setattr(owner, name, part)

    for name in ("set_tag", "delete_run"):
        killed_after(client, name)
    killed_after(retention, "_remove_folder")
    for name in ("_hard_delete_run", "_hard_delete_logged_model"):
        killed_after(client._tracking_client.store, name)
    with pytest.raises(Killed):
        retire(kept, LATER)
    monkeypatch.undo()
    retire(kept, LATER)
    assert (runs(kept), files(kept)) == before


def test_nothing_goes_while_something_waits_to_be_delivered(kept, model):
    with_trials(kept, model)
    waiting = kept._spool.folder / "000000000000001-0.fit.zip"
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.write_bytes(b"")
    if not kept.undelivered():
        pytest.fail(f"{waiting.name} is not what the spool takes for waiting")
    with pytest.raises(TrackingError, match="have not reached MLflow yet"):
        retire(kept, LATER)
    assert len(runs(kept)) == 6
