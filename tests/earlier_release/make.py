"""Makes the kept state of an earlier release; run it with that release's checkout as working directory (README.md)."""

import os
import sys
from pathlib import Path

THROUGH = "2024-02-19"
"""One week before the last: its successor is left to be replayed by the release that reads the state."""


def make(home: Path) -> None:
    """Eight weeks of pumps replayed by the release's own code, and a search of three trials at their end."""
    os.environ["MLOPS_HOME"], os.environ["MLOPS_FEATURE_REPO"] = str(home), "tests.pumps.repo"
    import dagster as dg

    from mlops_assets.assets.search import run_search
    from mlops_assets.partitions import week_names
    from mlops_assets.replay import Clock, Progress
    from mlops_assets.results import weeks_table
    from mlops_assets.spec import ModelSpec
    from resources.local import local_resources
    from resources.settings import settings
    from tests.pumps.project import SPEC, WEEKS, definitions

    parts = local_resources(settings())
    (home / "dagster").mkdir(parents=True)
    sensors = ["score_pump_stops_when_features_arrive", "retrain_pump_stops_on_evidence"]
    weeks = [week for week in week_names(WEEKS) if week <= THROUGH]
    with dg.instance_for_test(temp_dir=str(home / "dagster")) as instance:
        Clock(definitions(parts), instance, parts["lake"], sensors).replay(
            "ingest_week", weeks, Progress(len(weeks))
        )
    searching = ModelSpec.model_validate(SPEC.model_dump() | {"search": {"trials": 3, "asha": {"grace": 3}}})
    run_search(searching, parts["lake"], parts["tracking"], parts["compute"], {}, print)
    print(weeks_table(SPEC, parts["lake"]).select("week", "decision").rows())


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
