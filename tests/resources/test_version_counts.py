"""What versions did stays counted once: over processes, their ends, and the putting together of what ended ones left."""

import contextlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.serving import version_counts_writer
from resources.serving.log import ServingLogResource
from resources.serving.version_counts import BUCKETS_MS, Traffic, VersionCounts, version_counts
from resources.serving.version_counts_writer import WrittenCounts
from resources.settings import PROJECT_ROOT
from resources.storage.local import LocalStorage
from resources.storage.mirror import ship

PATIENT_S = 3600.0
KILLED = """
import os, signal, sys, time
from pathlib import Path
from resources.serving.version_counts import VersionCounts
from resources.serving.version_counts_writer import WrittenCounts
counts = VersionCounts()
written = WrittenCounts(Path(sys.argv[1]), counts, every_s=0.01)
for _ in range(int(sys.argv[2])):
    counts.answered("trips", "2", 0.003)
while not list(Path(sys.argv[1]).rglob("*.json")) or counts._changed:
    time.sleep(0.01)
time.sleep(0.2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def read(folder: Path, model: str = "trips") -> dict[str, Traffic]:
    return version_counts(ServingLogResource(folder=str(folder)), model)


def answer(folder: Path, *seconds: float, version: str = "2") -> None:
    """A process that answers in so many seconds each, and ends."""
    counts = VersionCounts()
    written = WrittenCounts(folder, counts, PATIENT_S)
    for one in seconds:
        counts.answered("trips", version, one)
    written.close()


def killed(folder: Path, answers: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(answers)], cwd=PROJECT_ROOT)
    assert done.returncode == -9


def test_what_was_never_counted_is_nothing(tmp_path):
    assert read(tmp_path) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("12"), st.sampled_from(["answered", "failed", "scored", "dropped", "unscored"])
        ),
        max_size=40,
    )
)
def test_everything_that_is_counted_is_read_again_and_looks_can_be_subtracted(tmp_path_factory, events):
    folder, counts = tmp_path_factory.mktemp("counts"), VersionCounts()
    written = WrittenCounts(folder, counts, PATIENT_S)
    for version, what in events:
        {
            "answered": lambda v: counts.answered("trips", v, 0.003),
            "failed": lambda v: counts.failed("trips", v, "raised"),
            "scored": lambda v: counts.scored("trips", v, 2, 0.5),
            "dropped": lambda v: counts.dropped("trips", v, "cpu", 3),
            "unscored": lambda v: counts.unscored("trips", v, "late", 4, 0.25),
        }[what](version)
    written.close()
    found, wanted = read(folder), Counter(events)
    assert set(found) == {version for version, _ in events}
    for version, one in found.items():
        of = {what: count for (v, what), count in wanted.items() if v == version}
        assert one.requests == of.get("answered", 0) + of.get("failed", 0)
        assert one.answered == sum(one.buckets) == one.buckets[3] == of.get("answered", 0)
        assert one.faults == ({"raised": of["failed"]} if "failed" in of else {})
        assert one.shadow_scored == 2 * of.get("scored", 0)
        assert one.shadow_dropped == ({"cpu": 3 * of["dropped"]} if "dropped" in of else {})
        assert one.shadow_failed == ({"late": 4 * of["unscored"]} if "unscored" in of else {})
        assert one.shadow_cpu_s == 0.5 * of.get("scored", 0) + 0.25 * of.get("unscored", 0)
        assert one - one == Traffic() and one - Traffic() == one


def test_a_time_counts_in_the_first_bucket_that_holds_it(tmp_path):
    answer(tmp_path, 0.0005, 0.00051, 6.0)
    [one] = read(tmp_path).values()
    assert (one.buckets[0], one.buckets[1], one.buckets[len(BUCKETS_MS)]) == (1, 1, 1)


def test_processes_side_by_side_and_one_after_the_other_are_added_up(tmp_path):
    beside = VersionCounts()
    written = WrittenCounts(tmp_path, beside, PATIENT_S)
    beside.answered("trips", "1", 0.001)
    for ended in range(1, 6):
        answer(tmp_path, 0.001, 0.002)
        assert read(tmp_path)["2"].requests == 2 * ended
    written.close()
    assert {version: one.requests for version, one in read(tmp_path).items()} == {"1": 1, "2": 10}
    assert len(list(tmp_path.rglob("*.json"))) <= 4, "what ended ones left is put together"


def test_what_a_killed_process_counted_stays_counted(tmp_path):
    for number in range(1, 4):
        killed(tmp_path, 7)
        assert read(tmp_path)["2"].requests == 7 * number
    answer(tmp_path, 0.001)
    assert read(tmp_path)["2"].requests == 22


@pytest.mark.parametrize("dies_after", range(1, 6))
def test_sums_stay_what_they_are_wherever_putting_together_ends(tmp_path, monkeypatch, dies_after):
    """The process that puts together dies after so many changes on disk; the next one goes on."""
    for _ in range(3):
        with monkeypatch.context() as patch:  # nobody puts together meanwhile
            patch.setattr(version_counts_writer, "_has_ended", lambda folder, writer: False)
            answer(tmp_path, 0.001)
    left = dies_after

    def dying(method):
        def done(self, *given, **named):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            return method(self, *given, **named)

        return done

    counts = VersionCounts()
    written = WrittenCounts(tmp_path, counts, PATIENT_S)
    counts.answered("trips", "1", 0.001)
    with monkeypatch.context() as patch:
        for name in ("write", "delete"):
            patch.setattr(LocalStorage, name, dying(getattr(LocalStorage, name)))
        with contextlib.suppress(KeyboardInterrupt):
            written._write()
            pytest.fail("it was to die on the way")
    assert read(tmp_path)["2"].requests == 3
    answer(tmp_path, 0.001)
    assert read(tmp_path)["2"].requests == 4


def test_machines_that_share_a_storage_are_added_up_as_their_logs_are(tmp_path, monkeypatch):
    shared, before = LocalStorage(tmp_path / "shared"), {}
    for turn in range(1, 4):
        for host in ("a", "b"):
            monkeypatch.setattr(version_counts_writer.socket, "gethostname", lambda host=host: host)
            answer(tmp_path / host, 0.001)
            before[host] = ship(tmp_path / host, shared, before.get(host, set()))
        assert read(tmp_path / "shared")["2"].requests == 2 * turn
