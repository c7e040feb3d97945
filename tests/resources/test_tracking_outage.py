"""A server that is away delays what is logged and loses none of it, whoever is killed in the meantime."""

import errno
import logging
import sqlite3
import zipfile
from collections.abc import Callable, Iterator

import polars as pl
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from resources.tracking import outage
from resources.tracking.client import client_of
from resources.tracking.fits import FitRecord
from resources.tracking.spool import FIT, REGISTRATION, Spool, packed, unpacked
from resources.tracking.tracking import Tracking, TrackingAwayError, TrackingError
from tests.resources.test_tracking import EXAMPLE, NAME, WRITES, Killed, life, log, register

Network = dict[str, Callable[[int], bool]]
READS = ("get_experiment_by_name", "search_runs", "get_run", "search_model_versions", "get_model_version")


class Clock:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outage, "time", clock)
    return clock


def unanswered() -> Exception:
    """What MLflow raises when nobody answers: its own error, made while one of requests was handled."""
    from mlflow.exceptions import MlflowException

    error = MlflowException("API request failed with exception ... Connection refused")
    error.__context__ = requests.ConnectionError("Connection refused")
    return error


@pytest.fixture
def network(tracking, monkeypatch) -> Iterator[Network]:
    """Lets a test say of each call, by its number, whether the network fails before it takes effect, or after."""
    fails: Network = {"before": lambda number: False, "after": lambda number: False}
    client, count = client_of(tracking.uri), [0]

    def over(method):
        def call(*args, **kwargs):
            count[0] += 1
            number = count[0]
            if fails["before"](number):
                raise unanswered()
            answer = method(*args, **kwargs)
            if fails["after"](number):
                raise unanswered()
            return answer

        return call

    for name in (*WRITES, *READS):
        monkeypatch.setattr(client, name, over(getattr(client, name)))
    yield fails


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize(("first", "gap"), [(1, 31), (7, 43), (19, 59)])
def test_a_life_in_which_requests_or_answers_are_lost_ends_like_an_unbroken_one(
    tracking, model, network, clock, lost, first, gap, tmp_path
):
    unbroken = _elsewhere(tmp_path, model)
    lost_ones = range(first, 10_000, gap)
    network[lost] = lambda number: number in lost_ones
    assert life(tracking, model) == unbroken
    assert clock.now > 0
    assert list((tmp_path / "spool").glob("*")) == []


def _elsewhere(tmp_path, model) -> list:
    folder = tmp_path / "unbroken"
    folder.mkdir()
    with sqlite3.connect(tmp_path / "mlflow.db") as old, sqlite3.connect(folder / "mlflow.db") as new:
        old.backup(new)
    return life(Tracking(uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts")), model)


def test_after_its_patience_it_gives_up_with_the_address_and_keeps_what_was_logged(
    tracking, model, network, clock, tmp_path, caplog
):
    network["before"] = lambda number: True
    caplog.set_level(logging.WARNING)
    patient = Tracking(uri=tracking.uri, artifacts=tracking.artifacts, patience_s=60)
    with pytest.raises(TrackingAwayError, match=rf"MLflow at {tracking.uri} has been away for 60 s.*spool"):
        log(patient, model)
    assert clock.now == 60
    assert "has been away for 0 s; asking again in 0.5 s" in caplog.text
    (kept,) = (tmp_path / "spool").iterdir()
    assert unpacked(kept.read_bytes())[1].model == model


def test_a_process_that_comes_later_delivers_it_with_the_moment_at_which_it_was_logged(
    tracking, model, network, clock, tmp_path
):
    network["before"] = lambda number: True
    with pytest.raises(TrackingAwayError):
        log(tracking, model)
    (kept,) = (tmp_path / "spool").iterdir()
    logged_at = unpacked(kept.read_bytes())[1].logged_at
    Tracking(uri=tracking.uri, artifacts=tracking.artifacts).deliver()
    assert kept.exists()
    network["before"] = lambda number: False
    Tracking(uri=tracking.uri, artifacts=tracking.artifacts).deliver()
    client = client_of(tracking.uri)
    run = client.get_run(tracking.find_run(NAME, "refit", "fit-1"))
    assert run.info.start_time == logged_at
    assert {m.timestamp for m in client.get_metric_history(run.info.run_id, "validation_logloss")} == {
        logged_at
    }
    assert not kept.exists()


@pytest.mark.parametrize("killed_at", ["create_run", "log_batch", "create_model_version", "set_terminated"])
def test_whoever_is_killed_while_logging_or_registering_leaves_it_to_the_next(
    tracking, model, killed_at, tmp_path, monkeypatch
):
    def die(*args, **kwargs):
        raise Killed

    client = client_of(tracking.uri)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(client, killed_at, die)
        register(tracking, model, "fit-1")
    tracking.deliver()
    run = client.get_run(tracking.find_run(NAME, "refit", "fit-1"))
    assert run.data.params == {"max_depth": "3", "training_set": "abc"}
    assert [v.identity for v in tracking.versions(NAME)] == ["fit-1"] * (killed_at == "create_model_version")
    assert register(tracking, model, "fit-1").number == 1
    assert len(client.search_runs([run.info.experiment_id])) == 1
    assert list((tmp_path / "spool").glob("*")) == []


def test_an_error_that_is_an_answer_is_raised_at_once_and_leaves_nothing_in_the_spool(
    tracking, model, clock, tmp_path
):
    with pytest.raises(TrackingError, match="quotation mark"):
        log(tracking, model, "it's")
    assert clock.now == 0
    assert list((tmp_path / "spool").glob("*")) == []


def test_a_damaged_file_is_told_and_does_not_keep_back_the_others(
    tracking, model, network, clock, tmp_path, caplog
):
    network["before"] = lambda number: True
    with pytest.raises(TrackingAwayError):
        log(tracking, model)
    network["before"] = lambda number: False
    damaged = tmp_path / "spool" / "000000000000001-0.fit.zip"
    damaged.write_bytes(b"cut")
    tracking.deliver()
    assert f"{damaged} cannot be delivered to MLflow" in caplog.text
    assert tracking.find_run(NAME, "refit", "fit-1")
    assert list((tmp_path / "spool").iterdir()) == [damaged]


def test_a_fit_for_a_deleted_experiment_waits_in_the_spool_until_the_experiment_is_restored(
    tracking, model, tmp_path, caplog
):
    log(tracking, model, "fit-0")
    client = client_of(tracking.uri)
    number = client.get_experiment_by_name(NAME).experiment_id
    client.delete_experiment(number)
    told = rf"experiment '{NAME}' \(id {number}\) .*`mlflow experiments restore --experiment-id {number}`"
    for act in (
        lambda: log(tracking, model),
        lambda: tracking.find_run(NAME, "refit", "fit-1"),
        lambda: tracking.open_search(NAME, "search", {}, {}),
    ):
        with pytest.raises(TrackingError, match=told):
            act()
    tracking.deliver()
    assert "mlflow experiments restore" in caplog.text
    (kept,) = (tmp_path / "spool").iterdir()
    client.restore_experiment(number)
    tracking.deliver()
    assert tracking.find_run(NAME, "refit", "fit-1") and not kept.exists()


def test_a_registration_of_a_deleted_run_waits_until_the_run_is_restored(tracking, model, tmp_path):
    run = log(tracking, model)
    client = client_of(tracking.uri)
    client.delete_run(run)
    with pytest.raises(TrackingError, match=rf"`mlflow runs restore --run-id {run}`"):
        tracking.register(NAME, run, "fit-1")
    tracking.deliver()
    assert len(list((tmp_path / "spool").iterdir())) == 1
    client.restore_run(run)
    tracking.deliver()
    assert [v.identity for v in tracking.versions(NAME)] == ["fit-1"]
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("whole_model", [True, False])
def test_a_deleted_version_is_named_and_what_waits_is_registered_all_the_same(tracking, model, whole_model):
    version = register(tracking, model, "fit-1")
    client = client_of(tracking.uri)
    if whole_model:
        client.delete_registered_model(NAME)
    else:
        client.delete_model_version(NAME, "1")
    for act in (lambda: tracking.version(NAME, 1), lambda: tracking.load(version)):
        with pytest.raises(TrackingError, match=f"{NAME} version 1 is not in the registry: .*train again"):
            act()
    assert tracking.load(register(tracking, model, "fit-1")) == model


@pytest.mark.parametrize("at", ["create_run", "log_batch", "log_artifacts", "create_model_version"])
def test_a_fit_that_a_full_disk_hinders_stays_in_the_spool(
    tracking, model, at, tmp_path, monkeypatch, caplog
):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(client_of(tracking.uri), at, full)
        with pytest.raises(OSError, match="No space left"):
            register(tracking, model, "fit-1")
        tracking.deliver()
        assert "No space left on device. The file stays" in caplog.text
    assert list((tmp_path / "spool").iterdir())
    tracking.deliver()
    assert tracking.find_run(NAME, "refit", "fit-1")
    assert list((tmp_path / "spool").iterdir()) == []


@given(
    st.binary(max_size=40) | st.sampled_from([b"[]", b"{}", b'{"a": 1}', b"1", b"\xff"]), st.integers(0, 3)
)
def test_a_file_of_any_other_bytes_is_damaged_and_said_to_be(tmp_path_factory, content, way):
    path = tmp_path_factory.mktemp("spool") / f"1{(FIT, REGISTRATION)[way % 2]}"
    path.write_bytes(content)
    if way == 2:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("fit.json", content)
    with pytest.raises(TrackingError, match="the file is damaged"):
        Spool.read(path)


TEXTS = st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=4)
NUMBERS = st.floats(allow_nan=False)


@given(
    params=TEXTS,
    tags=TEXTS,
    history=st.dictionaries(st.text(max_size=5), st.lists(NUMBERS, max_size=4), max_size=3),
    metrics=st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3),
    model=st.binary(max_size=50),
    artifacts=st.dictionaries(
        st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True), st.binary(max_size=9)
    ),
)
def test_what_is_read_from_the_spool_is_what_was_put_there(params, tags, history, metrics, model, artifacts):
    given_one = FitRecord(
        "refit",
        "one",
        model,
        params,
        history,
        metrics,
        tags,
        EXAMPLE,
        artifacts,
        logged_at=7,
        file="model.bin",
    )
    name, found = unpacked(packed(NAME, given_one))
    assert found.example.equals(EXAMPLE) and isinstance(found.example, pl.DataFrame)
    assert (name, {**vars(found), "example": None}) == (NAME, {**vars(given_one), "example": None})
