"""A state folder of an earlier release is brought forward, and goes on as if it had never been anything else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.commands import migrate
from mlops_assets.promotion.following import reconcile
from mlops_assets.replay.clock import Clock, Progress
from mlops_assets.replay.owed import follows
from mlops_assets.replay.tables import partitions_table
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.search_results import newest_result
from mlops_assets.stages.served import SCORER, code_of
from mlops_assets.verify.rebuild import Rebuild
from mlops_assets.verify.verdict import verify_version
from resources.audit.errors import BrokenChainError, OldLogError
from resources.audit.migration import take_over
from resources.local import local_resources
from resources.records.attempts import Attempt, Challenger
from resources.records.documents import load_record
from resources.records.reader import RecordError
from resources.serving.live_models import LiveModels
from resources.settings import Settings
from resources.systems import Systems
from tests.earlier_release.make import THROUGH
from tests.earlier_release.state import (
    audit_of,
    changed,
    contents,
    entries_in,
    settings_of,
    unpack,
)
from tests.pumps.project import SPEC, WEEKS, definitions

NAME, NEXT = SPEC.name, "2024-02-26"
JUDGED = ["2024-01-22", "2024-02-05", "2024-02-19"]
OF_EARLIER = {
    "lake/pump_stops/challenger.json",
    *(f"lake/pump_stops/{part}/{week}.json" for part in ("attempts", "timings") for week in JUDGED),
    "lake/pump_stops/profiles/000002.json",
    f"lake/pump_stops/search/{THROUGH}.json",
    "serving/pump_stops.json",
}
RECORDS = len(OF_EARLIER) + 3
MOVED = 1 + 1 + 8 + 16 + 1 + 2
"""Files that lie elsewhere now, the online store among them."""

NOTES = {
    "card": 1,
    "deployment": 1,
    "drift": 8,
    "evaluation": 1,
    "model": 1,
    "performance": 8,
    "predictions": 8,
    "training_set": 16,
}
"""Notes on how the content of tables that stay was made, and manifests that name a table that moves."""

NAMING = sum(NOTES.values())

ANSWERED = [0.07551687955856323, 0.6153948307037354]
"""What the earlier release's own endpoint answered from this state for the two pumps of `answers`."""

OLD_LOG = {"audit/log.jsonl", "audit/head.json"}
TAKEN_OVER = {
    "audit/migrated/log.jsonl",
    "audit/migrated/head.json",
    "audit/sealed_head.json",
    "keys/audit.key",
}


@pytest.fixture
def earlier(tmp_path: Path) -> Settings:
    """The state as the earlier release left it."""
    return settings_of(unpack(tmp_path))


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dict[str, Any]]]:
    """The state brought forward, and the resources over it."""
    where = settings_of(unpack(tmp_path_factory.mktemp("forward")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(where.home))
        patch.setenv("MLOPS_FEATURE_REPO", where.feature_repository)
        migrate.migrate(where, dry_run=False)
        yield where, local_resources(where)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def is_aside(name: str) -> bool:
    return name.startswith(f"{migrate.ASIDE}/")


def place_of_now(name: str) -> str:
    """Where a file belongs that lay where the earlier release kept it for its one use case."""
    return re.sub("^(lake|feast|replay)/", r"\1/pumps/", name).replace("moment.txt", "moments/pumps.txt")


def is_of_the_log(name: str) -> bool:
    return name.startswith(("audit/", "keys/"))


def test_a_dry_run_names_each_file_with_both_versions_and_writes_nothing(earlier, capsys):
    before = contents(earlier.home)
    assert migrate.migrate(earlier, dry_run=True) == 0
    log, *lines = capsys.readouterr().out.splitlines()
    digest, entries = before["audit/log.jsonl"], len(entries_in(audit_of(earlier)))
    assert log == (
        f"would change audit/log.jsonl: audit log, {entries} entries, sha256 {digest}, to sealed entries"
    )
    records, moves = lines[:RECORDS], lines[RECORDS:-1]
    named = {line.split()[2].rstrip(":") for line in records}
    assert named >= OF_EARLIER and len(named - OF_EARLIER) == 3, "three trials of the search besides"
    assert all(line.startswith("would change ") for line in records)
    assert all(line.endswith(f"version 0 to {1 + ('serving/' in line)}") for line in records)
    assert [line.removeprefix("would change ") for line in moves] == [
        "serving/moment.txt: to moments/pumps.txt",
        "feast: online.db, to feast/pumps",
        *(
            f"lake/pump_stops/{table}: {_files(n)} of notes and of names of feature tables, as they are now"
            for table, n in NOTES.items()
        ),
        "lake/features/online: 8 files of a feature table, to pumps/features/online",
        "lake/features/pump_state: 16 files of a feature table, to pumps/features/pump_state",
        "lake/features/registry: 1 file of a feature table, to pumps/features/registry",
        "lake/replay/progress.json: to pumps/replay/progress.json",
        "lake/features/online.json: to pumps/features/online.json",
    ]
    assert lines[-1] == f"{1 + RECORDS + MOVED + NAMING} files would change; nothing was written"
    assert contents(earlier.home) == before


def test_a_migration_changes_those_files_alone_keeps_their_originals_and_has_nothing_left_to_do(
    earlier, capsys
):
    before = contents(earlier.home)
    log = entries_in(audit_of(earlier))
    migrate.migrate(earlier, dry_run=False)
    everything = changed(earlier.home, before)
    first_sealed = f"audit/entries/{len(log) + 1:010}.json"
    assert {n for n in everything if is_of_the_log(n)} == {*OLD_LOG, *TAKEN_OVER, first_sealed}
    after = contents(earlier.home)
    touched = {name for name in everything if not is_of_the_log(name) and name in before}
    assert touched >= OF_EARLIER and len(touched) == RECORDS + MOVED + NAMING
    moved = {name: after.get(place_of_now(name)) for name in touched - OF_EARLIER if name not in after}
    assert len(moved) == MOVED and None not in moved.values()
    kept = sorted(after[name] for name in after if is_aside(name))
    lost = [before[name] for name in touched if before[name] != moved.get(name)]
    assert kept == sorted(lost), "the original of everything that is not what it was"
    assert all(before[n] == after[n.replace("audit/", "audit/migrated/")] for n in OLD_LOG)
    assert entries_in(audit_of(earlier))[:-1] == log
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == (
        f"{1 + RECORDS + MOVED + NAMING} files changed; the originals are in {earlier.home}/audit/migrated and {earlier.home}/migrated"
    )
    migrate.migrate(earlier, dry_run=False)
    assert "nothing to migrate" in capsys.readouterr().out
    assert contents(earlier.home) == after


def test_an_old_log_that_does_not_hold_is_refused_before_anything_is_changed(earlier):
    log = earlier.home / "audit" / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"pump_stops", b"pump_flows", 1))
    before = contents(earlier.home)
    for dry_run in (True, False):
        with pytest.raises(BrokenChainError, match=r"line 1 of log\.jsonl: it was altered"):
            migrate.migrate(earlier, dry_run=dry_run)
    assert contents(earlier.home) == before


@pytest.mark.parametrize("name", ["lake/pump_stops/challenger.json", "serving/pump_stops.json"])
def test_a_record_of_a_newer_release_is_refused_before_anything_is_changed(earlier, name):
    path = earlier.home / name
    path.write_text(json.dumps(json.loads(path.read_text()) | {"record_version": 7}))
    before = contents(earlier.home)
    for begin in (lambda: migrate.migrate(earlier, dry_run=False), lambda: migrate.tell_what_waits(earlier)):
        with pytest.raises(RecordError, match=f"{name}: .* has version 7, this release reads up to [12]:"):
            begin()
    assert contents(earlier.home) == before


def test_who_starts_on_it_is_told_that_its_old_log_has_to_be_migrated_first(earlier):
    before = contents(earlier.home)
    with pytest.raises(
        OldLogError, match=r"log\.jsonl is an audit log of an earlier release: `mlops migrate`"
    ):
        migrate.tell_what_waits(earlier)
    assert contents(earlier.home) == before


def test_who_starts_on_it_is_told_that_its_tables_lie_elsewhere_and_nothing_starts_anew(earlier):
    take_over(audit_of(earlier), "ada")
    before = contents(earlier.home)
    told = f"had one use case: {MOVED + NAMING} of its files belong elsewhere, .* `mlops migrate` moves them"
    with pytest.raises(migrate.OldPlacesError, match=told):
        migrate.tell_what_waits(earlier)
    assert contents(earlier.home) == before


def test_who_starts_on_it_is_told_once_that_its_records_are_of_an_earlier_release(earlier, capsys):
    record = earlier.serving / "pump_stops.json"
    old = record.read_bytes()
    migrate.migrate(earlier, dry_run=False)
    record.write_bytes(old)
    capsys.readouterr()
    migrate.tell_what_waits(earlier)
    assert capsys.readouterr().out.startswith(
        "1 file of the state is of an earlier release, and read as such"
    )
    migrate.migrate(earlier, dry_run=False)
    capsys.readouterr()
    migrate.tell_what_waits(earlier)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("migrated", [False, True])
def test_every_evaluation_has_the_hash_by_which_the_log_names_it_before_and_after(earlier, migrated):
    if migrated:
        migrate.migrate(earlier, dry_run=False)
    parts = local_resources(earlier)
    entries = {
        e.evidence["week"]: e for e in entries_in(parts["audit"]) if (e.model, e.kind) == (NAME, "evaluated")
    }
    assert sorted(entries) == JUDGED
    for week, entry in entries.items():
        attempt = load_record(parts["lake"], Attempt, attempt_name(SPEC, week))
        assert attempt and attempt.digest == entry.evidence["evaluation"]
        assert attempt.promote == entry.evidence["passed"]
    candidate = load_record(parts["lake"], Challenger, f"{NAME}/challenger")
    assert candidate and candidate.partition == THROUGH


def test_the_scorer_of_the_record_is_where_it_lies_now_in_the_file_and_as_the_log_has_it(earlier):
    path = earlier.serving / "pump_stops.json"
    assert json.loads(path.read_text())["scorer"] == "mlops_assets.ml.training:Scorer"
    migrate.migrate(earlier, dry_run=False)
    assert json.loads(path.read_text())["scorer"] == SCORER
    parts = local_resources(earlier)
    assert reconcile(Systems.of(parts), NAME) == []


def answers(where: Settings, parts: dict[str, Any]) -> list[dict[str, Any]]:
    """What the endpoint answers for two pumps."""
    models = LiveModels(where.serving, parts["feature_store"], {NAME: code_of(SPEC)}.get)
    models.look()
    assert models.problems == {}
    model = models.served[NAME]
    requests = [model.request.model_validate({"pump": pump}) for pump in ("pump-00", "pump-07")]
    return [
        {k: v for k, v in answer.items() if k != "request_id"} for answer in models.predict(model, requests)
    ]


def test_the_endpoint_answers_as_the_earlier_releases_own_did(forward):
    told = answers(*forward)
    assert [answer["version"] for answer in told] == ["2", "2"]
    assert [answer["probability"] for answer in told] == ANSWERED
    assert {answer["as_of"] for answer in told} == {"2024-02-26T00:00:00+00:00"}


def test_its_champion_is_rebuilt_byte_by_byte_from_its_lineage(forward, tmp_path):
    _, parts = forward
    rebuild = Rebuild(tmp_path, parts["lake"], [], lambda _: "tests.pumps.repo", tell=lambda line: None)
    champion = parts["tracking"].champion(NAME)
    verdict = verify_version(champion, parts["tracking"], parts["audit"], rebuild, SPEC)
    assert verdict.outcome == "IDENTICAL", str(verdict)


def test_its_versions_follow_the_spec_as_it_is_read_now_and_its_search_is_found(forward):
    _, parts = forward
    versions = parts["tracking"].versions(NAME)
    assert len(versions) == 4 and all(follows(SPEC, version) for version in versions)
    found = newest_result(SPEC, parts["lake"], NEXT)
    assert found and (found.partition, found.trials) == (THROUGH, 3)


def test_one_more_week_is_replayed_and_no_earlier_one_again(forward):
    where, parts = forward
    before = partitions_table(SPEC, parts["lake"])
    hashes = {name: parts["lake"].hash(f"{NAME}/predictions", name) for name in WEEKS.names()[:-1]}
    sensors = ["score_pump_stops_when_features_arrive", "retrain_pump_stops_on_evidence"]
    with dg.instance_for_test(temp_dir=str(where.home / "dagster")) as instance:
        progress = Progress(9)
        Clock(definitions(parts), instance, parts["lake"], sensors).replay("pumps", WEEKS.names(), progress)
        assert (progress.skipped, progress.done) == (8, 1)
    after = partitions_table(SPEC, parts["lake"])
    assert after.filter(pl.col("partition") != NEXT).equals(before)
    assert after.filter(pl.col("partition") == NEXT)["auc"].item() > 0.65
    assert hashes == {name: parts["lake"].hash(f"{NAME}/predictions", name) for name in hashes}
    assert set(parts["lake"].read(f"{NAME}/predictions", [NEXT])["model_version"]) == {2}
