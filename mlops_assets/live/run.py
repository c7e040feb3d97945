"""`mlops live`: a state of its own, its history, the servers of `mlops dev`, and a conductor beside them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_assets.live.order import LiveError, Order, Schedule
from mlops_assets.live.pace import Pace
from mlops_assets.live.sources import HeldBack, held_back
from mlops_assets.local.processes import Supervisor
from mlops_assets.local.running import Stop, raise_if_ended
from mlops_assets.ml.monitoring.policy import quiet_until
from mlops_assets.spec.files import read_use_case, specs_in
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.use_case import UseCase
from resources.clock import wall
from resources.settings import PROJECT_ROOT, Settings, settings
from resources.storage.durable import write_text
from resources.use_case_folders import VARIABLE, UseCaseFolder, use_case_folder

KEPT = (VARIABLE, "MLOPS_DAGSTER_PORT", "MLOPS_MLFLOW_PORT", "MLOPS_SERVE_PORT")
"""Variables of the caller that hold in the state of its own; all others say where another state or its parts lie."""

ALIEN = ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")
RECORD = "live.json"


def live(where: Settings, order: Order) -> int:
    """Live a use case until its partitions are over or a signal comes; the exit status."""
    state, folder = where.home / "live", use_case_folder(order.use_case)
    use_case, models = read_use_case(folder), lived_models(folder)
    source = held_back(folder, where, state)
    if order.anew:
        shutil.rmtree(state, ignore_errors=True)
    _refuse_another(state, folder.name)
    print(f"Live: {folder.name}, in a state of its own, {state}", flush=True)
    source.open()
    schedule = schedule_of(order, use_case, models, source)
    own = environment(state, source)
    with_environment(own)
    write_text(state / RECORD, json.dumps({"use_case": folder.name, "first": schedule.lived[0]}))
    if status := history(schedule, source, use_case):
        return status
    status = _beside_servers(order, schedule, use_case, models, source)
    print(f"The state is {state}. Look at it: {look(own)}", flush=True)
    return status


def lived_models(folder: UseCaseFolder) -> list[ModelSpec]:
    """The models whose sensors are on: those that a replay retrains too."""
    named, specs = read_use_case(folder).replay.models, specs_in(folder)
    models = [spec for spec in specs if named is None or spec.name in named]
    if not models:
        raise LiveError(
            f"use case {folder.name!r} has no model to live with: add one, or name it in replay.models"
        )
    return models


def schedule_of(order: Order, use_case: UseCase, models: Sequence[ModelSpec], source: HeldBack) -> Schedule:
    """What is lived: from where a model may be trained first, unless the order says otherwise."""
    calendar, names = use_case.calendar, source.names()
    trained = [moment for spec in models if (moment := quiet_until(None, spec, served=False))]
    behind = [name for name in names if trained and calendar.partition(name).start >= min(trained)]
    if not names or not (behind or order.since):
        raise LiveError(
            f"the sources of {use_case.name!r} have {len(names)} partitions, too few for a first model: give --from PARTITION"
        )
    return Schedule.of(order, calendar, names, (behind or names)[0])


def environment(state: Path, source: HeldBack) -> dict[str, str]:
    """The variables of the processes of a life."""
    return {"MLOPS_HOME": str(state), **source.variables}


def with_environment(own: dict[str, str]) -> None:
    """Make them this process's, and take away all that would reach another state."""
    for name in [*os.environ]:
        if (name.startswith("MLOPS_") and name not in KEPT) or name in ALIEN:
            del os.environ[name]
    os.environ.update(own)


def history(schedule: Schedule, source: HeldBack, use_case: UseCase) -> int:
    """Bring what was before the first lived partition and replay it at once; the exit status of the replay."""
    missing = [name for name in schedule.history if name not in {*source.there()}]
    for name in missing:
        source.bring(name)
    pace = Pace(settings())
    if not schedule.history or not (missing or not pace.there):
        return 0
    last = schedule.history[-1]
    pace.set(use_case.calendar.partition(last).end + source.lateness)
    command = [
        "-m",
        "mlops_assets.cli",
        "run",
        use_case.name,
        "--through",
        last,
        "--no-compare",
        "--no-second-model",
    ]
    return subprocess.run([sys.executable, *command], cwd=PROJECT_ROOT, check=False).returncode


def look(own: dict[str, str]) -> str:
    """The command that shows the state."""
    return " ".join([*(f"{name}={value}" for name, value in own.items()), "mlops dev"])


def _refuse_another(state: Path, name: str) -> None:
    file = state / RECORD
    before: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"use_case": name}
    if before["use_case"] != name:
        raise LiveError(
            f"{state} has lived {before['use_case']!r}, and a state lives one use case: give --anew to begin again, or another MLOPS_HOME"
        )


def _beside_servers(
    order: Order, schedule: Schedule, use_case: UseCase, models: Sequence[ModelSpec], source: HeldBack
) -> int:
    from mlops_assets.local import servers

    where, statuses = settings(), list[int]()

    def work(supervisor: Supervisor, stopping: Stop) -> None:
        statuses.append(_conduct(where, order, schedule, use_case, models, source, supervisor, stopping))

    status = servers.main(where, work=work)
    return status or next(iter(statuses), 0)


def _conduct(
    where: Settings,
    order: Order,
    schedule: Schedule,
    use_case: UseCase,
    models: Sequence[ModelSpec],
    source: HeldBack,
    supervisor: Supervisor,
    stopping: Stop,
) -> int:
    """Switch the sensors on, and live."""
    from mlops_assets.live.conductor import Conductor, EndedError
    from mlops_assets.live.customers import Customers
    from mlops_assets.live.journal import Event, Journal
    from mlops_assets.live.watch import names_of
    from mlops_assets.local.probes import start_sensor

    pace = Pace(where)
    journal = Journal(where.home, pace.now)
    watch = _watch(where, use_case.name, names_of(models), wall())
    watch.forget_the_past()
    for name in watch.sensors:
        if why := start_sensor(where.dagster_url, name):
            raise LiveError(f"the sensor {name} is not on: {why}")
    customers = Customers(where.serve_address, list(watch.models), order.a_second)
    conductor = Conductor(
        order, schedule, use_case.calendar, source, pace, watch, customers, journal,
        alive=lambda: raise_if_ended(supervisor), due=lambda: stopping.due,
    )  # fmt: skip
    try:
        conductor.live()
        journal.tell(
            Event("ended", f"{len(schedule.lived)} partitions are lived, up to {schedule.lived[-1]}")
        )
    except EndedError:
        journal.tell(Event("ended", "somebody ends it"))
    print("stopping …", flush=True)
    return 0


def _watch(where: Settings, use_case: str, models: dict[str, ModelSpec], since: datetime) -> Any:
    import dagster as dg

    from mlops_assets.live.watch import Watch
    from resources.cluster import resources_of

    parts = resources_of(where)
    return Watch(use_case, models, dg.DagsterInstance.get(), parts["lake"], parts["audit"], since)
