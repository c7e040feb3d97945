"""A fit sent away: its job and its outcome come back from files as they went in, and only for one another."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.cost import Cost
from mlops_assets.ml.dataset import Encoding
from mlops_assets.ml.training.kuberay_job import (
    JOB,
    OUTCOME,
    digest_of,
    fit_on_kuberay,
    job_text,
    read_job,
    read_outcome,
    write_outcome,
)
from mlops_assets.ml.training.ladder import ComputeError, Rung, job_name
from mlops_assets.ml.training.shards import Files, Held
from mlops_assets.ml.training.trainers.base import Job, Outcome
from resources.storage.addresses import storage_at
from tests.ml.conftest import FEATURES, parcel_spec, parcels

RUNG = Rung("workers", "kuberay", 2, "trainer.compute=cluster", "mlops-fit in namespace ml")
moments = st.datetimes(
    datetime(1990, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]),
)
texts, numbers = st.text(min_size=1, max_size=8), st.floats(allow_nan=False)


def job_of(**given):
    spec = parcel_spec(trainer={"categories": ["depot"], "workers": 2, "parameters": {"eta": 0.3}})
    encoding = Encoding(FEATURES, {"depot": ("north", "süd")})
    rows = Files(("/mlops/a.parquet",), datetime(2020, 7, 6, tzinfo=UTC))
    return Job(**{"spec": spec, "encoding": encoding, "rows": rows, "cut": None, "rounds": 40} | given)


@given(
    encoding=st.builds(
        Encoding,
        st.lists(texts, min_size=1, unique=True).map(tuple),
        st.dictionaries(texts, st.lists(texts, unique=True).map(tuple)),
    ),
    rows=st.builds(Files, st.lists(texts, min_size=1).map(tuple), moments, st.none() | moments),
    cut=st.none() | moments,
    rounds=st.integers(1, 10**6),
    checkpoint_every=st.none() | st.integers(1, 99),
)
def test_a_job_is_read_as_it_was_written_to_the_order_of_its_categories(**given):
    job = job_of(**given)
    read, rung, digest = read_job(job_text(job, RUNG))
    assert (read, rung, digest) == (job, RUNG, digest_of(job_text(job, RUNG)))
    assert list(read.encoding.categories) == list(job.encoding.categories)
    assert job_text(read, rung) == job_text(job, RUNG)


def test_a_sent_fit_is_the_same_one_while_nothing_that_decides_it_or_is_asked_for_it_changes():
    def digest(**changes):
        trainer = {"categories": ["depot"], "workers": 2, "parameters": {"eta": 0.3}} | changes.pop(
            "trainer", {}
        )
        return digest_of(job_text(job_of(spec=parcel_spec(trainer=trainer, **changes)), RUNG))

    watched = {
        "skew": {"requests": 7},
        "owner": "team:mail",
        "slices": ["hour"],
        "deployment": {"enabled": False},
    }
    assert digest(**watched) == digest()
    others = [{"seed": 1}, {"resources_per_worker": {"memory": 1e9}}, {"accelerator_type": "A10G"}]
    assert len({digest(), *(digest(trainer=one) for one in others), digest(feature_service="parcel_v2")}) == 5


@given(
    model=st.binary(),
    rounds=st.integers(1, 999),
    history=st.dictionaries(texts, st.lists(numbers, max_size=5), max_size=3),
    importance=st.dictionaries(texts, numbers, max_size=3),
    phases=st.dictionaries(texts, numbers, max_size=3),
    speed=st.dictionaries(texts, numbers | texts, max_size=3),
    cost=st.builds(Cost, numbers, numbers, numbers, numbers),
)
def test_an_outcome_is_read_as_it_was_written_and_for_its_own_job_only(tmp_path_factory, cost, **given):
    sent_there, outcome = storage_at(tmp_path_factory.mktemp("sent")), Outcome(**given)
    assert read_outcome(sent_there, "this") is None
    write_outcome(sent_there, outcome, cost, "this")
    assert read_outcome(sent_there, "this") == (outcome, cost)
    assert read_outcome(sent_there, "that") is None
    assert sent_there.names(deep=True) == [OUTCOME]


@given(st.data())
def test_a_torn_outcome_and_one_whose_model_was_changed_are_none(tmp_path_factory, data):
    folder, model = tmp_path_factory.mktemp("sent"), bytes(range(60))
    checkpoints = storage_at(folder)
    write_outcome(checkpoints, Outcome(model, 1), Cost(), "this")
    whole = (folder / OUTCOME).read_bytes()
    place = data.draw(st.integers(len(whole) - len(model), len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for broken in (changed, whole[: data.draw(st.integers(0, len(whole) - 1))], b"[1]\n", b"{}\n"):
        (folder / OUTCOME).write_bytes(broken)
        assert read_outcome(checkpoints, "this") is None


@given(st.text(max_size=80) | st.text("0123456789abcdef", min_size=30, max_size=70))
def test_every_name_of_a_fit_makes_a_name_that_kuberay_takes(identity):
    assert len(job_name(identity)) <= 47
    assert job_name(identity).removeprefix("mlops-").replace("-", "a").isalnum()
    assert job_name(identity).isascii() and job_name(identity).lower() == job_name(identity)
    assert not job_name(identity).endswith("-")


class Cluster:
    """A reach whose fits end as a function says."""

    address, storage = "kuberay://ml", storage_at("/mlops")

    def __init__(self, fit):
        self.fit, self.asked = fit, {}

    def connect(self, where):
        raise AssertionError("Ray was asked for")

    def send(self, name, job, **asked):
        assert not asked["done"]()
        self.asked = {"name": name, "job": job} | asked
        self.fit()


def test_the_cluster_is_asked_for_what_the_spec_says_and_the_outcome_it_leaves_is_taken(tmp_path):
    trainer = {"workers": 3, "threads": 4, "gpu": True, "accelerator_type": "A10G"}
    job, checkpoints = job_of(spec=parcel_spec(trainer=trainer)), storage_at(tmp_path / "a-fit")

    def fitted():
        _, _, digest = read_job(checkpoints.read(JOB).decode())
        write_outcome(checkpoints, Outcome(b"model", 7), Cost(5.0), digest)

    cluster = Cluster(fitted)
    rung = replace(RUNG, workers=3)
    assert fit_on_kuberay(job, rung, cluster, checkpoints) == (Outcome(b"model", 7), Cost(5.0))
    asked = cluster.asked
    assert (asked["name"], asked["workers"], asked["accelerator"]) == ("mlops-a-fit", 3, "A10G")
    assert asked["each"] == {"CPU": 4.0, "GPU": 1.0}
    assert asked["command"] == ("python", "-m", "mlops_assets.commands.sent_fit", checkpoints.address)
    assert asked["paths"] == [checkpoints.address, "/mlops/a.parquet"]
    assert asked["done"]()


def test_a_cluster_that_leaves_nothing_is_told(tmp_path):
    with pytest.raises(
        ComputeError, match=r"mlops-fit in namespace ml is done and .*outcome is not there: run it again"
    ):
        fit_on_kuberay(job_of(), RUNG, Cluster(lambda: None), storage_at(tmp_path / "a-fit"))


def test_rows_in_memory_cannot_be_sent(tmp_path):
    with pytest.raises(TypeError, match="needs its rows as files, not as Held"):
        fit_on_kuberay(job_of(rows=Held(parcels(10))), RUNG, Cluster(lambda: None), storage_at(tmp_path))
