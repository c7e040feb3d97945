"""A version is rebuilt from raw partitions and lineage alone; whatever is not as it was is named, and nothing else is."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from mlops_assets.assets.verification import CLAIM, Chosen, verification
from mlops_assets.cli import main
from mlops_assets.ml.provenance import provenance
from mlops_assets.spec.model import ModelSpec
from mlops_assets.use_cases.flights.tables import all_tables
from mlops_assets.verify.rebuild import Rebuild
from mlops_assets.verify.verdict import Verdict, VerificationError, verify, verify_version
from resources.features.feature_repository import definitions
from resources.features.stores import repository_of
from resources.lake.lake import Lake
from resources.lake.pushed_span import PushedPart, content_hash, rows_of
from resources.records.lineage import FILE, Lineage, partitions
from resources.settings import PROJECT_ROOT, Settings, settings
from resources.tracking.tracking import Version
from resources.tracking.versions import sha256
from tests import forked
from tests.flights.registered import (
    PUSHED_INTO,
    SPEC,
    WEEKS,
    Registered,
    model_file,
    registered,
    two_workers,
)
from tests.flights.shortened import short_spec
from tests.flights.thinned import thin
from tests.lake_files import path_of


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home / "home"))
        patch.setenv("MLOPS_DATA", str(thin(home / "data", every=16, before="2013-02-01")))
        yield settings()


@pytest.fixture(scope="module")
def state(where: Settings) -> Iterator[Registered]:
    yield registered(where)
    import ray

    ray.shutdown()


@pytest.fixture(scope="module")
def shared(state: Registered, tmp_path_factory: pytest.TempPathFactory) -> Rebuild:
    """One folder for all versions whose surroundings are as they were."""
    return rebuild(tmp_path_factory.mktemp("shared"), state.lake)


def rebuild(folder: Path, origin: Lake) -> Rebuild:
    return Rebuild(folder, origin, all_tables(), repository_of, tell=lambda line: None)


def lineage_of(state: Registered, version: Version) -> Lineage:
    return Lineage.read(state.parts["tracking"].artifact(version, FILE), version.tags["lineage"])


def verified(
    state: Registered, version: Version, made_in: Rebuild, declared: ModelSpec | None = SPEC
) -> Verdict:
    return verify_version(version, state.parts["tracking"], state.parts["audit"], made_in, declared)


def nodes(verdict: Verdict) -> list[str]:
    return [difference.node for difference in verdict.differences]


@pytest.mark.parametrize("kind", ["challenger", "refit"])
def test_a_version_is_rebuilt_byte_by_byte(kind, state, shared):
    verdict = verified(state, getattr(state, kind), shared)
    assert (verdict.outcome, nodes(verdict), verdict.layout["workers"]) == ("IDENTICAL", [], 1)


def test_a_version_of_two_workers_is_rebuilt_byte_by_byte_on_two_workers(state, shared):
    verdict = verified(state, state.of_two_workers, shared, two_workers())
    assert (verdict.outcome, nodes(verdict), verdict.layout["workers"]) == ("IDENTICAL", [], 2)
    assert state.of_two_workers.sha256 != state.challenger.sha256


def test_the_lineage_names_what_the_version_follows_from_and_only_that(state):
    lineage = lineage_of(state, state.refit)
    assert set(lineage.sources) == {"flights/raw", "flights/schedule", "flights/weather", "flights/planes"}
    assert sorted(lineage.sources["flights/raw"]) == sorted(lineage.training_set) == WEEKS
    assert lineage.sources["flights/raw"][WEEKS[0]] == state.lake.manifest("flights/raw", WEEKS[0]).sha256
    assert set(lineage.tables["flights/features/plane"]) == {"all"}
    assert set(lineage.tables["flights/features/carrier_record"]) == set(WEEKS)
    assert set(lineage.definitions) >= {"weather", "aircraft", "plane"}
    assert (lineage.rounds, lineage.seed, lineage.result["rounds"]) == (7, SPEC.trainer.seed, 7)
    assert lineage_of(state, state.challenger).rounds is None
    assert lineage.code["files"]["mlops_assets/use_cases/flights/feature_tables.py"]
    assert lineage.packages == provenance.packages()
    assert len(lineage.to_bytes()) < 100_000


def test_rows_that_were_pushed_after_a_week_was_joined_are_no_part_of_it_though_one_file_holds_all(state):
    pushed = lineage_of(state, state.refit).pushed
    assert set(pushed) == {PUSHED_INTO} and set(pushed[PUSHED_INTO]) == {"flights/features/weather"}
    part = PushedPart(**pushed[PUSHED_INTO]["flights/features/weather"])
    folder = state.lake.folder("flights/features/weather")
    rows = rows_of(folder, part)
    assert set(rows["temp"]) == {40.0} and content_hash(rows) == part.sha256
    (name,) = state.lake.pushed("flights/features/weather")
    assert set(pl.read_parquet(path_of(state.lake, "flights/features/weather", name))["temp"]) == {40.0, 80.0}


def test_a_changed_pushed_row_is_named_with_the_week_that_it_had_a_say_in(state, tmp_path):
    origin = Lake(root=str(shutil.copytree(state.lake.root, tmp_path / "lake")))
    (name,) = origin.pushed("flights/features/weather")
    file = path_of(origin, "flights/features/weather", name)
    pl.read_parquet(file).with_columns(pl.col("temp") + 1).write_parquet(file)
    verdict = verified(state, state.challenger, rebuild(tmp_path / "made", origin))
    node = f"source flights/features/weather@pushed for {PUSHED_INTO}"
    assert (verdict.outcome, nodes(verdict)) == ("DIFFERENT", [node])


def test_the_version_and_the_audit_log_carry_the_hash_of_the_lineage(state):
    (entry,) = (e for e in state.parts["audit"].entries(SPEC.name, ("trained",)) if e.version == 2)
    assert entry.evidence["lineage"] == state.refit.tags["lineage"] == lineage_of(state, state.refit).sha256
    assert state.refit.tags["revision"] == lineage_of(state, state.refit).code["revision"]


def test_one_changed_byte_of_a_source_file_is_named_and_nothing_is_computed(state, tmp_path):
    origin = Lake(root=str(shutil.copytree(state.lake.root, tmp_path / "lake")))
    path = path_of(origin, "flights/raw", WEEKS[1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    verdict = verified(state, state.challenger, rebuild(tmp_path / "made", origin))
    assert (verdict.outcome, nodes(verdict)) == ("DIFFERENT", [f"source flights/raw@{WEEKS[1]}"])
    assert not (tmp_path / "made" / "lake" / "features").exists()
    path.unlink()
    verdict = verified(state, state.challenger, rebuild(tmp_path / "again", origin))
    assert [(d.node, d.now) for d in verdict.differences] == [(f"source flights/raw@{WEEKS[1]}", "missing")]


def test_a_changed_feature_definition_is_named_first_with_what_follows_from_it(state, tmp_path, monkeypatch):
    (weather,) = (
        thing for thing in definitions("mlops_assets.use_cases.flights.features") if thing.name == "weather"
    )
    monkeypatch.setattr(weather, "ttl", timedelta(minutes=30))
    verdict = verified(state, state.challenger, rebuild(tmp_path, state.lake))
    assert verdict.outcome == "DIFFERENT"
    assert nodes(verdict) == [
        "feature definition weather",
        *(f"training set {week}" for week in WEEKS),
        "model",
    ]
    assert verdict.largest is not None and verdict.largest > 1e-3
    assert "DIFFERENT, first at feature definition weather: " in str(verdict)


def test_a_parameter_that_is_declared_otherwise_now_is_named_and_the_version_is_rebuilt_under_its_own(
    state, shared
):
    shallow = SPEC.trainer.model_dump()
    shallow["parameters"]["max_depth"] = 3
    verdict = verified(state, state.challenger, shared, short_spec(trainer=shallow))
    assert (verdict.outcome, nodes(verdict)) == ("IDENTICAL", ["spec trainer.parameters.max_depth"])
    assert str(verdict).endswith("IDENTICAL, although spec trainer.parameters.max_depth: 7 then, 3 now")


def test_a_parameter_that_was_changed_in_the_lineage_is_named_and_gives_another_model(state, shared):
    lineage = lineage_of(state, state.challenger)
    spec = json.loads(json.dumps(lineage.spec))
    spec["trainer"]["parameters"]["max_depth"] = 2
    model = state.parts["tracking"].load(state.challenger)
    verdict = verify(lineage.model_copy(update={"spec": spec}), shared, SPEC, model)
    assert (verdict.outcome, nodes(verdict)) == ("DIFFERENT", ["spec trainer.parameters.max_depth", "model"])
    assert verdict.largest is not None and verdict.largest > 1e-3


def test_parameters_that_a_search_won_with_are_used_and_are_no_difference_to_what_is_declared(state, shared):
    shallow = SPEC.trainer.model_dump()
    shallow["parameters"]["max_depth"] = 3
    won = {"max_depth": SPEC.trainer.hyperparameters()["max_depth"]}
    found = lineage_of(state, state.challenger).model_copy(update={"parameters": won})
    verdict = verify(found, shared, short_spec(trainer=shallow))
    assert (verdict.outcome, nodes(verdict)) == ("IDENTICAL", [])


def test_another_version_of_a_package_is_named_whatever_comes_out(state, shared, monkeypatch):
    real = provenance.metadata.version
    monkeypatch.setattr(
        provenance.metadata, "version", lambda name: "9.9.9" if name == "xgboost-cpu" else real(name)
    )
    verdict = verified(state, state.challenger, shared)
    assert (verdict.outcome, nodes(verdict)) == ("IDENTICAL", ["package xgboost-cpu"])
    assert verdict.as_json()["first"] == "package xgboost-cpu"
    assert verdict.differences[0].now == "9.9.9"


def test_models_with_other_bytes_and_the_same_predictions_are_equal_within_that(state, shared):
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(state.parts["tracking"].load(state.challenger)))
    booster.set_attr(note="written elsewhere")
    other = bytes(booster.save_raw("ubj"))
    lineage = lineage_of(state, state.challenger)
    elsewhere = lineage.model_copy(update={"result": lineage.result | {"sha256": sha256(other)}})
    verdict = verify(elsewhere, shared, SPEC, other)
    assert (verdict.outcome, verdict.largest, nodes(verdict)) == ("EQUAL WITHIN", 0.0, ["model"])
    assert verdict.holds
    deeper = state.parts["tracking"].load(state.refit)
    refused = verify(elsewhere, shared, SPEC, deeper)
    assert (refused.outcome, refused.holds) == ("DIFFERENT", False)
    assert refused.largest is not None
    allowed = verify(elsewhere, shared, SPEC, deeper, within=refused.largest)
    assert (allowed.outcome, allowed.largest) == ("EQUAL WITHIN", refused.largest)


def test_a_changed_model_file_is_refused_before_anything_is_rebuilt(state, where, tmp_path):
    file = model_file(where, state.challenger)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        verdict = verified(state, state.challenger, rebuild(tmp_path, state.lake))
    finally:
        file.write_bytes(content)
    assert (verdict.outcome, nodes(verdict)) == ("DIFFERENT", ["model file"])
    assert "the file was changed or cut" in verdict.differences[0].now
    assert list(tmp_path.iterdir()) == []


def test_a_changed_lineage_is_refused_and_so_is_one_that_the_audit_log_does_not_know(state, where, shared):
    (file,) = (
        path
        for path in where.mlflow_artifacts.rglob(FILE)
        if sha256(path.read_bytes()) == state.refit.tags["lineage"]
    )
    content = file.read_bytes()
    forged = lineage_of(state, state.refit).model_copy(update={"seed": 9}).to_bytes()
    try:
        file.write_bytes(content.replace(b'"seed":0', b'"seed":1'))
        verdict = verified(state, state.refit, shared)
        assert (verdict.outcome, nodes(verdict)) == ("DIFFERENT", ["lineage"])
        assert "changed: seed" in verdict.differences[0].now or "changed: spec" in verdict.differences[0].now
        file.write_bytes(forged)
        retagged = replace(state.refit, tags=state.refit.tags | {"lineage": sha256(forged)})
        verdict = verified(state, retagged, shared)
        assert nodes(verdict) == ["lineage"] and "the audit log recorded" in verdict.differences[0].now
    finally:
        file.write_bytes(content)


def test_a_version_from_before_lineage_was_recorded_cannot_be_verified_and_is_told_so(state, shared):
    old = replace(state.refit, tags={k: v for k, v in state.refit.tags.items() if k != "lineage"})
    with pytest.raises(VerificationError, match="registered before lineage was recorded: train it again"):
        verified(state, old, shared)


def test_the_job_rebuilds_every_version_and_its_check_names_those_that_differ(state):
    parts = {n: state.parts[n] for n in ("lake", "tracking", "feature_store", "audit", "compute")}

    def run() -> dg.ExecuteInProcessResult:
        return dg.materialize([verification(lambda: {SPEC.name: SPEC}, all_tables)], resources=parts)

    done = run()
    shown = done.asset_materializations_for_node("models__verification")[0].metadata
    assert shown["verdicts"].value.count("| IDENTICAL |") == shown["versions"].value == 3
    assert [(check.check_name, check.passed) for check in done.get_asset_check_evaluations()] == [
        (CLAIM, True)
    ]
    path = path_of(state.lake, "flights/planes")
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    try:
        (check,) = run().get_asset_check_evaluations()
    finally:
        path.write_bytes(content)
    assert not check.passed
    different = check.metadata["different"].value
    assert set(different) == {f"{SPEC.name}@{number}" for number in (1, 2, 3)}
    assert all(told.startswith("source flights/planes@all: ") for told in different.values())


@pytest.fixture(scope="module")
def elsewhere(state: Registered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory but for code, raw partitions and the lineage of the refit."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for package in ("mlops_assets", "resources", "feature_repo"):
        ignored = shutil.ignore_patterns("__pycache__", "arrival_minutes")
        shutil.copytree(PROJECT_ROOT / package, folder / "code" / package, ignore=ignored)
    shutil.copy(PROJECT_ROOT / "requirements.lock", folder / "code")
    declare(folder, SPEC)
    raw = Lake(root=str(folder / "raw"))
    for table, partition, _ in partitions(lineage_of(state, state.refit).sources):
        raw.take(state.lake, table, partition)
    for name in state.lake.pushed("flights/features/weather"):
        raw.take(state.lake, "flights/features/weather", name)
    (folder / FILE).write_bytes(state.parts["tracking"].artifact(state.refit, FILE))
    return folder


def declare(folder: Path, spec: ModelSpec) -> None:
    attributes = spec.model_dump(mode="json")
    component = {"type": "mlops_assets.components.model.ModelComponent", "attributes": attributes}
    path = (
        folder / "code" / "mlops_assets" / "use_cases" / "flights" / "models" / "flight_delay" / "defs.yaml"
    )
    path.write_text(yaml.safe_dump(component))


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_", "DAGSTER_"))}
    return forked.run(["-m", "mlops_assets.cli", "verify", *arguments], kept | environment, cwd)


def test_in_a_directory_with_raw_data_code_and_lineage_alone_the_version_is_identical(elsewhere):
    done = command(
        *("--lineage", FILE, "--raw", "raw", "--json"),
        cwd=elsewhere,
        PYTHONPATH=str(elsewhere / "code"),
        MLOPS_HOME=str(elsewhere / "home"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (verdict,) = json.loads(done.stdout)
    assert (verdict["outcome"], verdict["first"]) == ("IDENTICAL", None)
    assert f"flight_delay: training set {WEEKS[0]}" in done.stderr
    assert sorted(path.name for path in elsewhere.iterdir()) == sorted(["code", "raw", FILE])


def test_there_another_parameter_package_and_source_file_are_named_in_this_order(elsewhere, tmp_path):
    folder = shutil.copytree(elsewhere, tmp_path / "changed")
    declare(folder, short_spec(trainer=SPEC.trainer.model_dump() | {"rounds": 21}))
    with (folder / "code/mlops_assets/use_cases/flights/feature_tables.py").open("a") as source:
        source.write("# another comment\n")
    fake = tmp_path / "fake" / "lightgbm-9.9.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: lightgbm\nVersion: 9.9.9\n")
    done = command(
        *("--lineage", FILE, "--raw", "raw"),
        cwd=folder,
        PYTHONPATH=f"{folder / 'code'}:{fake.parent}",
        MLOPS_HOME=str(folder / "home"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *others = done.stdout.splitlines()
    assert first == "flight_delay: IDENTICAL, although spec trainer.rounds: 20 then, 21 now"
    assert [line.split(":")[0] for line in others[:-1]] == [
        "  also package lightgbm",
        "  also code mlops_assets/use_cases/flights/feature_tables.py",
    ]
    with (folder / "raw/flights/raw" / f"{WEEKS[0]}.parquet").open("ab") as source:
        source.write(b" ")
    done = command("--lineage", FILE, "--raw", "raw", cwd=folder, PYTHONPATH=str(folder / "code"))
    assert done.returncode == 1
    assert done.stdout.startswith(f"flight_delay: DIFFERENT, first at source flights/raw@{WEEKS[0]}: ")


def test_a_version_that_is_not_there_ends_with_words_and_status_2(state, where):
    done = command("flight_delay@99", cwd=PROJECT_ROOT, MLOPS_HOME=str(where.home))
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: 'flight_delay' has no version '99'; versions: 1, 2, 3." in done.stderr
    done = command("flight_delay", cwd=PROJECT_ROOT, MLOPS_HOME=str(where.home))
    assert (done.returncode, "has no champion" in done.stderr) == (2, True)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-0.1", "near"])
def test_a_distance_that_is_no_finite_number_is_refused(text, capsys):
    assert main(["verify", "--all", f"--within={text}"]) == 2
    assert "is no finite number from 0 up" in capsys.readouterr().err
    with pytest.raises(ValueError, match="within"):
        Chosen.model_validate({"within": text})
