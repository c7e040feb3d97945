"""Through every door a moment is the same moment, in any spelling, unit and zone; what could be two is refused by all."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pydantic
import pytest
import typer
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.offline_store.entities import entity_rows, with_moments
from mlops_assets.cli import main, parsed
from mlops_assets.use_cases.flights.files import IngestError, read_table
from resources.features.push_sources import EVENT, PushSource
from resources.lake.instants import with_instants
from resources.records.deployment import Deployment
from resources.serving.http.bodies import validated
from resources.serving.http.features import Question
from resources.serving.http.forms import request_frame
from resources.tracking import versions
from resources.tracking.versions import TrackingError
from tests.moment_texts import AMBIGUOUS, moments, spellings

Automatic = pydantic.create_model("automatic", at=(datetime, ...))
"""A model that somebody else wrote: pydantic alone would read numbers for it."""

SOURCE = PushSource("events", ("v",), {"id": "String"}, {"seen": "UnixTimestamp"}, Path())
RECORD = {
    "name": "m", "version": "1", "task": "regression", "model_path": "f", "model_sha256": "0" * 64, "scorer": "a:B",
    "feature_service": "s", "time": "t",
}  # fmt: skip
REFUSED = (ValueError, RequestValidationError, TrackingError, typer.BadParameter)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def of_a_frame(frame: Any) -> datetime:
    found = entity_rows(frame).moments[0]
    if found is None:  # as pandas' NaN is
        raise ValueError("no moment")
    return found.replace(tzinfo=UTC)


def of_objects(value: Any) -> datetime:
    import pandas as pd

    return of_a_frame(pd.DataFrame({EVENT: pd.Series([value], dtype=object)}))


def of_a_request(value: Any) -> datetime:
    [request] = validated(Automatic, [{"at": through_json(value)}], False)
    return request_frame([request], "now", datetime.now(UTC))["at"][0]


def of_an_event(field: str) -> Callable[[Any], datetime]:
    def read(value: Any) -> datetime:
        event = {"id": "a", EVENT: "2024-01-01T00:00:00Z"} | {field: through_json(value)}
        return getattr(validated(SOURCE.event, [event], False)[0], field)

    return read


def options(*command: str) -> dict[str, Any]:
    task = parsed(command)
    assert task
    return task.options


def of_an_option(*command: str) -> Callable[[Any], datetime]:
    def read(value: Any) -> datetime:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("no option")
        return options(*command, value)["at" if "--at" in command else "since"]

    return read


TEXT_DOORS: dict[str, Callable[[Any], datetime]] = {
    "entity rows, pandas": of_objects,
    "entity rows, polars": lambda v: of_a_frame(pl.DataFrame({EVENT: [v]}, strict=False)),
    "a request's own model": of_a_request,
    "a pushed event's moment": of_an_event(EVENT),
    "a pushed event's value": of_an_event("seen"),
    "as_of of online features": lambda v: (
        Question.model_validate_json(json.dumps({"entities": {}, "as_of": v})).as_of
    ),  # type: ignore[return-value]
    "a deployment record": lambda v: Deployment.model_validate(RECORD | {"moment": through_json(v)}).moment,
    "a tag of MLflow": lambda v: versions.moments(v if isinstance(v, str) else json.dumps(v))[0],
    "mlops history --at": of_an_option("history", "m", "--at"),
    "mlops audit show --since": of_an_option("audit", "show", "--since"),
}


@given(st.data())
def test_every_door_reads_any_spelling_as_the_same_moment(data: st.DataObject) -> None:
    now = data.draw(moments)
    text = data.draw(spellings(now)).replace(",", ".")  # between commas a tag has several moments
    assert {door: read(text) for door, read in TEXT_DOORS.items()} == dict.fromkeys(TEXT_DOORS, now)


NONE = (
    "2024-02-01",
    "2262-04-12T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "2024-02-01T24:00:00Z",
    "0000-01-01T00:00:00Z",
)


@pytest.mark.parametrize("wrong", ["01/02/2024 10:00", 1706781600, 1.5])
def test_request_data_that_is_declared_to_be_a_moment_is_read_as_the_entity_rows_own(wrong: Any) -> None:
    now = datetime(2024, 2, 1, 10, tzinfo=UTC)
    rows = entity_rows(pl.DataFrame({EVENT: [now], "came": ["2024-02-01T11:00:00+01:00"], "left": [wrong]}))
    assert with_moments(rows, ["came"]).column("came").to_list() == [now]
    with pytest.raises(ValueError, match="the column 'left' of the entity rows"):
        with_moments(rows, ["left"])


@pytest.mark.parametrize("value", [*AMBIGUOUS, *NONE, "2024-02-01T10:00:00.0000001Z"])
def test_every_door_refuses_what_could_be_two_moments(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for door, read in TEXT_DOORS.items():
        if door == "a tag of MLflow" and isinstance(value, str) and (not value or value != value.strip()):
            continue  # a tag is a list: an empty one has no moments, and spaces stand between them
        if value == "2024-02-01" and door.startswith("mlops"):
            continue  # where a day may stand too
        with pytest.raises(REFUSED):
            pytest.fail(f"{door} reads {value!r} as {read(value)}", pytrace=False)
    capsys.readouterr()


@given(st.data())
def test_the_same_moment_in_any_unit_and_zone_is_the_same_at_every_door_of_columns(
    data: st.DataObject,
) -> None:
    now = data.draw(moments).replace(microsecond=data.draw(st.sampled_from([0, 123_000])))
    unit, zone = (
        data.draw(st.sampled_from(["ms", "us", "ns"])),
        data.draw(st.sampled_from(["UTC", "Asia/Kolkata", None])),
    )
    column = pl.Series(EVENT, [now]).dt.cast_time_unit(unit)
    column = column.dt.convert_time_zone(zone) if zone else column.dt.replace_time_zone(None)
    assert with_instants(column.to_frame())[EVENT].to_list() == [now]
    assert of_a_frame(column.to_frame()) == of_a_frame(column.to_frame().to_pandas()) == now
    python = now.astimezone(ZoneInfo(zone)) if zone else now.replace(tzinfo=None)
    assert of_objects(python) == now


@pytest.mark.parametrize(
    "written", ["2013-06-01 10:00:00+00:00", "2013-06-01T06:00:00-04:00", "2013-06-01T10:00Z"]
)
def test_a_raw_file_may_spell_a_moment_in_any_way(tmp_path: Path, written: str) -> None:
    from tests.flights import samples

    line = samples.flight("2013-06-01 06:00")
    samples.write(tmp_path, [line | {"time_hour": written}])
    assert read_table("flights", tmp_path)["time_hour"].to_list() == [datetime(2013, 6, 1, 10, tzinfo=UTC)]


@pytest.mark.parametrize(
    "written", ["01/06/2013 10:00", "1370080800", "2013-06-01", "2013-06-01T10:00:00.0000001Z"]
)
def test_a_raw_file_with_a_moment_that_could_be_two_is_refused_with_the_row(
    tmp_path: Path, written: str
) -> None:
    from tests.flights import samples

    samples.write(tmp_path, [samples.flight("2013-06-01 06:00") | {"time_hour": written}])
    with pytest.raises(IngestError, match=f"column time_hour, row 1: '{written}' is not a time like"):
        read_table("flights", tmp_path)


@pytest.mark.parametrize("number", [1370080800, 1370080800000, 1.5])
def test_a_number_in_a_raw_parquet_file_is_no_moment(tmp_path: Path, number: float) -> None:
    from tests.flights import samples

    folder = samples.write(tmp_path, [samples.flight("2013-06-01 06:00")])
    frame = pl.read_csv(folder / "flights.csv", null_values="NA").with_columns(time_hour=pl.lit(number))
    (folder / "flights.csv").unlink()
    frame.write_parquet(folder / "flights.parquet")
    with pytest.raises(IngestError, match=r"column time_hour, row 1: .* is not a time like"):
        read_table("flights", tmp_path)


def test_a_day_on_the_command_line_is_a_day_and_anything_else_says_what_to_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert f"{options('history', 'm', '--at', '2024-02-01')['at']}" == "2024-02-01"
    for command in (["history", "m", "--at"], ["audit", "show", "--since"]):
        assert main([*command, "01/02/2024"]) == 2
        assert "'01/02/2024' is not a day" in capsys.readouterr().err
    with pytest.raises(typer.BadParameter, match="without a timezone"):
        from mlops_assets.commands.moments import when

        when("2024-02-01T10:00:00")
