"""A bare `dagster dev`, as a user starts it: "Materialize all" from nothing, and sensors that retrain exactly once."""

from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.spec.files import specs_in
from resources.use_case_folders import use_case_folder
from tests.acceptance.commands import RUN, environment, python
from tests.acceptance.dagster_server import ENDED, Dagster, dagster_dev, wait
from tests.acceptance.state import lake_of, tracking_of
from tests.flights.shortened import short_spec
from tests.flights.thinned import thin

MODELS = ("flight_delay", "arrival_minutes")
OTHERS = ("purchases", "buys_again", "spends_next")
"""The other business's tables and models: hundreds of days."""

WEEKS = short_spec().calendar.names()
FIRST_MONTHS = "1997-05-14"
"""Of the purchases: the day after which the replay trains `buys_again` first. `spends_next` waits for labels until July."""

DAYS = [day for day in specs_in(use_case_folder("purchases"))[0].calendar.names() if day <= FIRST_MONTHS]
SCORE, RETRAIN = "score_flight_delay_when_features_arrive", "retrain_flight_delay_on_evidence"
BEFORE, SHIFTED = "2013-03-04", "2013-03-11"


@pytest.mark.nightly
def test_materialize_all_from_an_empty_state_ends_with_one_champion_a_model(tmp_path, free_port):
    made = materialize_all(tmp_path, thin(tmp_path / "data", every=12), free_port(), without=OTHERS)
    assert made >= {"flights/raw", "flights/features/online", *(f"{model}/card" for model in MODELS)}
    for model in MODELS:
        has_one_champion(tmp_path / "home", model, WEEKS)


@pytest.mark.nightly
def test_materialize_all_of_the_purchases_first_months_ends_with_their_champion_too(tmp_path, free_port):
    others = ("flights", *MODELS, "spends_next")
    made = materialize_all(tmp_path, tmp_path, free_port(), others, (DAYS[0], DAYS[-1]))
    assert made >= {"purchases/purchases", "purchases/bought_again", "purchases/features/online"}
    assert "buys_again/card" in made
    has_one_champion(tmp_path / "home", "buys_again", DAYS)


def materialize_all(
    folder: Path, data: Path, port: int, without: Collection[str], span: tuple[str, str] | None = None
) -> set[str]:
    """Press "Materialize all" over an empty state in `folder`, each asset by one run; the assets that were made."""
    log = folder / "dagster.log"
    with dagster_dev(port, environment(folder / "home", data), log) as dagster:
        backfill = dagster.materialize_all(without, span)
        wait(
            lambda: dagster.backfill_status(backfill) not in ("REQUESTED", "COMPLETING"),
            "the backfill ends",
            1800,
        )
        runs = dagster.runs()
        assert dagster.backfill_status(backfill) == "COMPLETED_SUCCESS", failures(log)
        assert {run["status"] for run in runs} == {"SUCCESS"}
        made = ["/".join(key["path"]) for run in runs for key in run["assetSelection"]]
        assert len(made) == len(set(made)), "an asset was made by two runs, so its partitions were not in one"
        return set(made)


def has_one_champion(home: Path, model: str, partitions: Sequence[str]) -> None:
    versions = tracking_of(home).versions(model)
    assert [v.number for v in versions if v.promotions] == [tracking_of(home).champion(model).number]  # type: ignore[union-attr]
    assert lake_of(home).partitions(f"{model}/drift") == list(partitions)


@pytest.mark.nightly
def test_a_planted_shift_leads_to_exactly_one_retraining(tmp_path, winter, free_port):
    home, data = tmp_path / "home", shifted(winter, tmp_path / "data")
    python(home, winter, "mlops_assets.cli", *RUN, "--through", BEFORE)
    settled = environment(home, data) | {"DAGSTER_HOME": str(home / "dagster")}
    with dagster_dev(free_port(), settled, tmp_path / "dagster.log") as dagster:
        earlier = {run["runId"] for run in dagster.runs()}
        for sensor in (SCORE, RETRAIN):
            dagster.start_sensor(sensor)
        quiet(dagster, ticks=1)
        assert {run["runId"] for run in dagster.runs()} == earlier
        succeeds(dagster, dagster.launch("ingest_flights", SHIFTED))
        retraining = wait(
            lambda: of_job(dagster, "flight_delay_retrain", earlier), "a retraining is asked for", 300
        )
        wait(
            lambda: of_job(dagster, "flight_delay_retrain", earlier)[0]["status"] in ENDED,
            "the retraining ends",
            300,
        )
        quiet(dagster, ticks=3)
        assert [run["runId"] for run in of_job(dagster, "flight_delay_retrain", earlier)] == [
            retraining[0]["runId"]
        ]
        assert len(of_job(dagster, "flight_delay_partition", earlier)) == 1
        assert "inside the cool-down" in dagster.ticks(RETRAIN)[0]["skipReason"]
    tags = retraining[0]["tags"]
    assert (tags["mlops/trigger"], tags["mlops/partition"]) == ("performance", SHIFTED)
    assert "over the limit of 15.0%" in tags["mlops/reason"]
    assert lake_of(home).records("flight_delay/attempts") == ["2013-02-18", SHIFTED]


def shifted(source: Path, folder: Path) -> Path:
    """The same raw files, but every flight of one week arrives an hour and a half later than it did."""
    folder.mkdir()
    for file in source.iterdir():
        lines = pl.read_csv(file, infer_schema=False, empty_string_is_null=False)
        if file.stem == "flights":
            day = pl.date(pl.col("year").cast(int), pl.col("month").cast(int), pl.col("day").cast(int))
            inside = day.is_between(
                pl.lit(SHIFTED).str.to_date(), pl.lit(SHIFTED).str.to_date() + pl.duration(days=6)
            )
            later = (pl.col("arr_delay").cast(pl.Int32, strict=False) + 90).cast(pl.String)
            planted = pl.when(inside & (pl.col("arr_delay") != "NA")).then(later).otherwise("arr_delay")
            lines = lines.with_columns(arr_delay=planted)
        lines.write_csv(folder / file.name)
    return folder


def of_job(dagster: Dagster, job: str, earlier: set[str]) -> list[dict]:
    return [run for run in dagster.runs(pipelineName=job) if run["runId"] not in earlier]


def succeeds(dagster: Dagster, run_id: str) -> None:
    def status() -> str:
        return dagster.runs(runIds=[run_id])[0]["status"]

    wait(lambda: status() in ENDED, "the run ends", 300)
    assert status() == "SUCCESS"


def quiet(dagster: Dagster, ticks: int) -> None:
    """Let both sensors look a few more times, and hold that none of the looks failed."""
    already = {name: len(dagster.ticks(name)) for name in (SCORE, RETRAIN)}
    wait(
        lambda: all(len(dagster.ticks(name)) >= min(50, n + ticks) for name, n in already.items()),
        "more ticks",
        300,
    )
    assert [t for name in already for t in dagster.ticks(name) if t["status"] == "FAILURE"] == []


def failures(log: Path) -> str:
    """What the log says after each step that failed."""
    parts = log.read_text(errors="replace").split("STEP_FAILURE")[1:]
    return "\n".join(part[:3000] for part in parts) or "no step failed"
