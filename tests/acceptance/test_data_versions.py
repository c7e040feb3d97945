"""An old week is corrected, what nobody needs is cleaned up, and every registered version is still made again."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mlops_assets.cli import main
from mlops_assets.use_cases.flights.tables import all_tables
from mlops_assets.verify.rebuild import Rebuild
from mlops_assets.verify.retention import RetentionError, named_by_versions, removable, remove
from mlops_assets.verify.verdict import verify_all
from resources.features.stores import repository_of
from resources.lake.lake import Lake
from resources.lake.versions import kept_versions
from resources.local import local_resources
from resources.records.lineage import FILE, Lineage
from resources.settings import Settings, settings
from resources.systems import Systems
from resources.tracking.tracking import Tracking
from tests.flights.registered import SPEC, WEEKS, challenger, ingest, refit
from tests.flights.thinned import thin

RAW, CORRECTED = "flights/raw", WEEKS[1]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("corrected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home / "home"))
        patch.setenv("MLOPS_DATA", str(thin(home / "data", every=16, before="2013-02-01")))
        yield settings()


@pytest.fixture(scope="module")
def parts(where: Settings) -> dict[str, Any]:
    """Two versions on the weeks as they came, two on the corrected week; one more correction that no version saw."""
    there = local_resources(where)
    there["feature_store"].of("flights").apply()
    weeks(there, WEEKS)
    challenger(there, SPEC)
    refit(there)
    correct(where.home.parent / "data", minutes=7)
    weeks(there, [CORRECTED])
    correct(where.home.parent / "data", minutes=30)
    weeks(there, WEEKS[1:])
    challenger(there, SPEC)
    refit(there)
    return there


def weeks(there: dict[str, Any], names: list[str]) -> None:
    from mlops_assets.stages.training_set import join_partition

    for week in names:
        ingest(there["lake"], week)
        assert join_partition(SPEC, there["lake"], there["feature_store"].of("flights"), week).manifest


def correct(data: Path, minutes: int) -> None:
    """Flights that arrived arrived later than was said, for a day of the old week."""
    file = data / "flights.csv"
    lines = pl.read_csv(file, infer_schema=False, empty_string_is_null=False)
    late = (pl.col("month") == "1") & (pl.col("day") == "9") & ~pl.col("arr_delay").is_in(["", "NA"])
    delay = (pl.col("arr_delay").cast(pl.Int64, strict=False) + minutes).cast(pl.String)
    lines.with_columns(arr_delay=pl.when(late).then(delay).otherwise("arr_delay")).write_csv(file)


def sources(parts: dict[str, Any]) -> dict[int, str]:
    """Which content of the corrected week each version saw."""
    tracking = parts["tracking"]
    return {
        version.number: Lineage.read(tracking.artifact(version, FILE)).sources[RAW][CORRECTED]
        for version in tracking.versions(SPEC.name)
    }


def copied(parts: dict[str, Any], folder: Path) -> Lake:
    return Lake(root=str(shutil.copytree(parts["lake"].root, folder)))


def verdicts(parts: dict[str, Any], lake: Lake, folder: Path) -> dict[int, str]:
    rebuild = Rebuild(folder, lake, all_tables(), repository_of, tell=lambda line: None)
    systems = parts["tracking"], parts["audit"]
    return {v.version or 0: str(v) for v in verify_all(*systems, rebuild, {SPEC.name: SPEC})}


def test_before_and_after_the_correction_versions_rest_on_other_rows_and_both_are_there(parts):
    seen = sources(parts)
    assert seen[1] == seen[2] != seen[3] == seen[4] == parts["lake"].hash(RAW, CORRECTED)
    kept = {version.sha256 for version in kept_versions(parts["lake"].storage, RAW)}
    assert seen[1] in kept and len(kept - set(seen.values())) == 1


def test_without_what_was_replaced_the_old_versions_cannot_be_made_again(parts, tmp_path):
    lake = copied(parts, tmp_path / "lake")
    shutil.rmtree(Path(lake.root, RAW, "_kept"))
    told = verdicts(parts, lake, tmp_path / "made")
    assert [told[n].split(":")[1].split(",")[0].strip() for n in (1, 2, 3, 4)] == [
        *("DIFFERENT", "DIFFERENT"),
        *("IDENTICAL", "IDENTICAL"),
    ]
    assert f"first at source {RAW}@{CORRECTED}" in told[1]


def test_an_old_week_is_corrected_and_cleaned_up_and_every_version_is_identical(parts, tmp_path, capsys):
    assert main(["data", "clean", "--dry-run"]) == 0
    (line, total) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"would remove {RAW}@{CORRECTED}  ")
    assert total.startswith("1 replaced versions, ") and total.endswith(" bytes would be removed")
    assert len(kept_versions(parts["lake"].storage)) == 2
    assert main(["data", "clean"]) == 0
    (gone, total) = capsys.readouterr().out.splitlines()
    assert gone == line.replace("would remove", "removed") and " bytes were removed" in total
    assert main(["data", "clean"]) == 0
    assert capsys.readouterr().out == "0 replaced versions, 0 bytes were removed\n"
    assert [v.sha256 for v in kept_versions(parts["lake"].storage)] == [sources(parts)[1]]
    told = verdicts(parts, parts["lake"], tmp_path)
    assert told == {number: f"{SPEC.name}@{number}: IDENTICAL" for number in (1, 2, 3, 4)}


def test_the_log_shows_every_version_and_show_reads_the_one_that_an_old_model_saw(parts, tmp_path, capsys):
    old, new = sources(parts)[1], sources(parts)[3]
    assert main(["data", "log", RAW, "--partition", CORRECTED, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    state = {version["sha256"]: version["current"] for version in shown}
    assert (state[old], state[new]) == (False, True)
    assert [v["written"] for v in shown] == sorted(v["written"] for v in shown)
    assert main(["data", "log", RAW]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(WEEKS) + len(shown) - 1
    assert main(["data", "show", f"{RAW}@{old[:10]}", "--to", str(tmp_path / "old.parquet")]) == 0
    then, now = pl.read_parquet(tmp_path / "old.parquet"), parts["lake"].read(RAW, [CORRECTED])
    late = then.join(now, on="flight_id", suffix="_now").filter(
        pl.col("arr_delay") != pl.col("arr_delay_now")
    )
    assert set(late["arr_delay_now"] - late["arr_delay"]) == {37}
    capsys.readouterr()
    assert main(["data", "show", f"{RAW}@{new[:10]}", "--rows", "2"]) == 0
    assert f"{RAW}@{CORRECTED}  {new[:12]}" in capsys.readouterr().out
    assert main(["data", "show", f"{RAW}@{old[:10]}", "--to", str(tmp_path / "old.parquet")]) == 1
    assert "is there already" in capsys.readouterr().err
    for name, told in ((RAW, "names no version"), (f"{RAW}@ffff0000ffff", "none of its versions")):
        assert main(["data", "show", name]) == 1
        assert told in capsys.readouterr().err


def unneeded(lake: Lake, *values: int) -> None:
    """More corrections that no version saw."""
    frame = lake.read(RAW, [CORRECTED])
    for value in values:
        lake.write(RAW, frame.head(value), CORRECTED, keep=True)
    lake.write(RAW, frame, CORRECTED, keep=True)


def systems(parts, lake: Lake, tracking: Tracking | None = None) -> Systems:
    """Of the state, with a lake of the test's own, and with another MLflow."""
    return Systems(lake, tracking=tracking or parts["tracking"], audit=parts["audit"])


@given(st.lists(st.integers(1, 9), max_size=6), st.sampled_from(WEEKS))
@examples(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_that_a_version_names_is_ever_removed_and_nothing_else_stays(
    parts, tmp_path_factory, values, also
):
    lake = copied(parts, tmp_path_factory.mktemp("copy") / "lake")
    unneeded(lake, *values)
    lake.write(RAW, lake.read(RAW, [also]).head(11), also, keep=True)
    named = set(named_by_versions(parts["tracking"]))
    before = {version.key for version in kept_versions(lake.storage)}
    gone = removable(systems(parts, lake))
    size = remove(lake, gone, lambda version: None)
    after = {version.key for version in kept_versions(lake.storage)}
    assert after == before & named and len(after) >= 2
    assert (size > 0) == (before != after)


def test_what_the_lake_is_still_made_of_stays_though_no_version_names_it(parts, tmp_path):
    lake = copied(parts, tmp_path / "lake")
    frame = lake.read(RAW, [CORRECTED]).head(5)
    sha256 = lake.write(RAW, frame, CORRECTED, keep=True).sha256
    made_of = {f"{RAW}@{CORRECTED}": sha256}
    lake.write("flights/features/new", frame, CORRECTED, made_of=made_of)
    lake.write(RAW, frame.head(4), CORRECTED, keep=True)
    assert sha256 in {version.sha256 for version in kept_versions(lake.storage)}
    assert removable(systems(parts, lake)) == []
    lake.write("flights/features/new", frame, CORRECTED, made_of={f"{RAW}@{CORRECTED}": "another"})
    assert [version.sha256 for version in removable(systems(parts, lake))] == [sha256]


def killed_before(deletes: int, act: Callable[[], Any]) -> bool:
    """Let a process of its own delete so many files and die before the next; False where it has ended by then."""
    from resources.storage.local import LocalStorage

    child = os.fork()
    if child == 0:
        whole, left = LocalStorage.delete, iter(range(deletes))

        def delete(self: LocalStorage, name: str) -> bool:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(self, name)

        LocalStorage.delete = delete
        act()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_clean_up_that_is_killed_anywhere_and_given_again_ends_with_what_is_named(parts, tmp_path):
    deletes, killed, named = 0, True, set(named_by_versions(parts["tracking"]))
    while killed:
        lake = copied(parts, tmp_path / str(deletes))
        unneeded(lake, 1, 2, 3)
        gone = removable(systems(parts, lake))
        before = {version.key for version in kept_versions(lake.storage)}
        killed = killed_before(deletes, lambda lake=lake, gone=gone: remove(lake, gone, lambda version: None))
        assert before & named <= {version.key for version in kept_versions(lake.storage)}
        remove(lake, removable(systems(parts, lake)), lambda version: None)
        assert {version.key for version in kept_versions(lake.storage)} == before & named
        files = lake.storage.names(f"{RAW}/_kept", deep=True)
        assert len(files) == 2 * len(before & named)
        deletes += 1
    assert deletes == 2 * 3 + 1


def test_nothing_is_removed_where_mlflow_is_away_is_another_or_cannot_say_what_a_version_is_made_of(
    parts, where, tmp_path
):
    lake = copied(parts, tmp_path / "lake")
    unneeded(lake, 1)
    before = lake.storage.names(deep=True)
    places = {"artifacts": str(tmp_path / "artifacts"), "spool": str(tmp_path / "spool"), "patience_s": 0}
    away = Tracking(uri="http://127.0.0.1:9", **places)
    with pytest.raises(RetentionError, match="nothing is removed"):
        removable(systems(parts, lake, away))
    another = Tracking(uri=f"sqlite:///{tmp_path}/other.db", **places)
    with pytest.raises(
        RetentionError, match="flight_delay: trained here by the audit log, and not registered"
    ):
        removable(systems(parts, lake, another))
    assert removable(systems(parts, lake, another), gone=[SPEC.name])
    file = next(path for path in where.mlflow_artifacts.rglob(FILE))
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-9])
        with pytest.raises(RetentionError, match="cannot say what it is made of"):
            removable(systems(parts, lake))
        file.unlink()
        with pytest.raises(RetentionError, match="nothing is removed"):
            removable(systems(parts, lake))
    finally:
        file.write_bytes(content)
    waiting = where.mlflow_spool / "000000000000001-x.version.json"
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.write_text("{}")
    try:
        with pytest.raises(RetentionError, match="1 fits or registrations have not reached MLflow"):
            removable(systems(parts, lake))
    finally:
        waiting.unlink()
    assert lake.storage.names(deep=True) == before
