"""The lake keeps either the old partition or the new one, and says what changed."""

import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake.lake import Lake, LakeError, rows_changed
from resources.storage import durable
from resources.storage.durable import sweep
from tests.lake_files import path_of


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path))


def test_the_same_frame_gives_the_same_bytes(lake):
    frame = pl.DataFrame({"k": [1, 2], "v": ["a", None]})
    assert lake.write("t", frame, "one").sha256 == lake.write("t", frame, "two").sha256


def test_partitions_are_read_in_the_order_asked(lake):
    for week in ("2013-01-07", "2012-12-31"):
        lake.write("t", pl.DataFrame({"week": [week]}), week)
    assert lake.read("t", ["2013-01-07", "2012-12-31"])["week"].to_list() == ["2013-01-07", "2012-12-31"]
    assert lake.partitions("t") == ["2012-12-31", "2013-01-07"]


def test_a_partition_is_held_only_with_the_bytes_that_its_manifest_names(lake):
    sha256 = lake.write("t", pl.DataFrame({"k": [1]}), "w").sha256
    assert lake.holds("t", "w", sha256) and not lake.holds("t", "w", "0" * 64)
    assert not lake.holds("t", "another", sha256)
    Path(lake.address("t", "w")).write_bytes(b"other bytes")
    assert not lake.holds("t", "w", sha256)


def test_a_missing_partition_is_named_with_those_that_exist(lake):
    lake.write("t", pl.DataFrame({"k": [1]}), "2013-01-07")
    with pytest.raises(LakeError, match="'t' has no partition 2013-01-14; there are: 2013-01-07"):
        lake.read("t", ["2013-01-14"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_record_with_a_number_that_json_does_not_have_is_refused_and_the_old_one_kept(lake, bad):
    lake.write_json("record", {"auc": None})
    lake.write("t", pl.DataFrame({"k": [1]}), "w", notes={"psi": 0.1})
    for refused in (
        lambda: lake.write_json("record", {"deep": [{"auc": bad}]}),
        lambda: lake.write("t", pl.DataFrame({"k": [2]}), "w", notes={"psi": bad}),
        lambda: lake.remember("t", "w", {"psi": bad}),
    ):
        with pytest.raises(LakeError, match="not finite: write None for what is not defined"):
            refused()
    assert lake.read_json("record") == {"auc": None}
    assert lake.read("t", ["w"])["k"].to_list() == [1]


def test_a_write_that_fails_leaves_the_old_content(lake, monkeypatch):
    lake.write("t", pl.DataFrame({"k": [1]}), "w", keys=["k"])

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(OSError):
        lake.write("t", pl.DataFrame({"k": [2]}), "w", keys=["k"])
    assert lake.read("t", ["w"])["k"].to_list() == [1]
    assert lake.manifest("t", "w").rows == 1


def test_whoever_lists_partitions_while_others_are_written_finds_each_with_its_manifest(lake, monkeypatch):
    write, listed = durable.write_bytes, []

    def look_then_write(*arguments):
        listed.append([lake.manifest("t", name).rows for name in lake.partitions("t")])
        write(*arguments)

    monkeypatch.setattr(durable, "write_bytes", look_then_write)
    for name in ("one", "two", "one"):
        lake.write("t", pl.DataFrame({"k": [1]}), name)
    assert listed == [[], [], [1], [1], [1, 1], [1, 1]]


def test_a_manifest_whose_partition_was_never_written_describes_none(lake, monkeypatch):
    write = durable.write_bytes

    def full_disk(path, *arguments):
        if path.suffix == ".parquet":
            raise OSError("No space left on device")
        write(path, *arguments)

    monkeypatch.setattr(durable, "write_bytes", full_disk)
    with pytest.raises(OSError):
        lake.write("t", pl.DataFrame({"k": [1]}), "w")
    assert not lake.described("t", "w") and lake.partitions("t") == []
    monkeypatch.undo()
    assert lake.write("t", pl.DataFrame({"k": [1]}), "w") == lake.manifest("t", "w")


@st.composite
def instants(draw):
    """A column of moments, and the same one in any unit and zone that holds it, or without a zone in UTC."""
    unit = draw(st.sampled_from(["ms", "us", "ns"]))
    step = 1000 if unit == "ms" else 1
    numbers = draw(
        st.lists(st.none() | st.integers(-(10**15), 10**15).map(step.__mul__), min_size=1, max_size=5)
    )
    ours = pl.Series("t", numbers, pl.Int64).cast(pl.Datetime("us", "UTC"))
    zone = draw(st.sampled_from([None, "UTC", "America/New_York", "Asia/Kolkata"]))
    zoned = ours.dt.convert_time_zone(zone) if zone else ours.dt.replace_time_zone(None)
    return ours, zoned.dt.cast_time_unit(unit)


@given(columns=instants())
def test_the_same_moments_in_any_unit_and_zone_give_the_same_bytes(tmp_path_factory, columns):
    lake = Lake(root=str(tmp_path_factory.getbasetemp() / "instants"))
    frames = [
        pl.DataFrame({"t": c, "s": c.to_frame("t").to_struct("s"), "l": c.reshape((-1, 1)).arr.to_list()})
        for c in columns
    ]
    ours, other = (lake.write("t", frame.with_columns(d=frame["t"] - frame["t"]), "w") for frame in frames)
    assert (ours.sha256, ours.columns) == (other.sha256, other.columns)
    assert lake.read("t", ["w"])["t"].equals(columns[0])


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1, pl.Datetime("ns", "UTC")),
        (-1, pl.Datetime("ns")),
        (2**62, pl.Datetime("ms", "UTC")),
        ([1], pl.List(pl.Datetime("ns"))),
        ({"at": 1}, pl.Struct({"at": pl.Datetime("ns")})),
        (1, pl.Duration("ns")),
    ],
)
def test_a_moment_that_microseconds_do_not_hold_is_refused_and_nothing_is_written(lake, number, kind):
    with pytest.raises(
        LakeError, match=r"table 't', column 'at', row 1: .* is not a whole number of microseconds"
    ):
        lake.write("t", pl.DataFrame({"at": pl.Series([None, number]).cast(kind)}))
    assert lake.partitions("t") == []


rows = st.dictionaries(st.integers(0, 20), st.none() | st.integers(0, 3), max_size=12)


@given(old=rows, new=rows)
def test_rows_changed_counts_added_removed_and_altered_rows(old, new):
    def frame(content):
        return pl.DataFrame(
            {"k": list(content), "v": list(content.values())}, schema={"k": pl.Int64, "v": pl.Int64}
        )

    missing = object()
    expected = sum(old.get(k, missing) != new.get(k, missing) for k in old.keys() | new.keys())
    assert rows_changed(frame(old), frame(new), ["k"]) == expected


def test_records_survive_as_they_were_written(lake):
    digest = lake.write_json("flight_delay/evaluations/2013-03-04", {"promote": True})
    assert lake.read_json("flight_delay/evaluations/2013-03-04") == {"promote": True}
    assert lake.records("flight_delay/evaluations") == ["2013-03-04"]
    assert len(digest) == 64


def test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own(tmp_path):
    (tmp_path / "t").mkdir()
    dead, alive = tmp_path / "t" / ".w.parquet.99999999.tmp", tmp_path / "t" / f".w.parquet.{os.getpid()}.tmp"
    for path in (dead, alive):
        path.write_text("half a file")
    assert sweep(tmp_path) == 1
    assert alive.exists()
    assert not dead.exists()


def test_numbers_of_two_widths_and_columns_in_another_order_are_read_together(lake):
    lake.write("t", pl.DataFrame({"k": [1], "v": ["a"]}), "one")
    lake.write("t", pl.DataFrame({"v": [None], "k": [1.5]}), "two")
    assert lake.read("t").rows() == [(1.0, "a"), (1.5, None)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"k": ["1"], "v": [2]}, r"table 't', column 'k': String in partition two, Int64 in partition one"),
        ({"k": [1]}, r"table 't', column 'v': missing in partition two, Int64 in partition one"),
        ({"k": [1], "v": [2], "w": [3]}, r"column 'w': Int64 in partition two, missing in partition one"),
    ],
)
def test_partitions_that_do_not_go_together_are_named_with_the_column(lake, other, message):
    lake.write("t", pl.DataFrame({"k": [1], "v": [2]}), "one")
    lake.write("t", pl.DataFrame(other), "two")
    with pytest.raises(LakeError, match=message):
        lake.read("t")


def test_a_file_that_is_not_parquet_is_named(lake):
    lake.write("t", pl.DataFrame({"k": [1]}), "one")
    path_of(lake, "t", "one").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(
        LakeError, match=r"t/one\.parquet cannot be read: .* Materialize this partition again"
    ):
        lake.read("t")
