"""`mlops live`: a state of its own, its history, the servers of `mlops dev`, and a conductor beside them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.live.landed import Landed
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

if TYPE_CHECKING:
    from mlops_assets.live.conductor import Conductor

PASSED_ON = (VARIABLE, "MLOPS_DAGSTER_PORT", "MLOPS_MLFLOW_PORT", "MLOPS_SERVE_PORT")
"""Variables of the caller that hold in the state of its own; all others say where another state or its parts lie."""

ELSEWHERE = ("DAGSTER_HOME", "MLFLOW_TRACKING_URI")
RECORD = "live.json"
RUN = ("-m", "mlops_assets.cli", "run", "--no-compare", "--no-second-model")


@dataclass(frozen=True)
class Life:
    """What is lived: of a use case with these models, rows of a source that is held back, by a schedule."""

    order: Order
    use_case: UseCase
    models: Sequence[ModelSpec]
    source: HeldBack
    schedule: Schedule


LOOK_EVERY, QUICK = "MLOPS_LOOK_EVERY_S", "5"
"""One use case has few sensors: they look as often as the daemon lets them, unless something else is asked for."""


def live(where: Settings, order: Order) -> int:
    """Live a use case until its partitions are over or a signal comes; the exit status."""
    state, folder = where.home / "live", use_case_folder(order.use_case)
    source = held_back(folder, where, state)
    if order.anew:
        shutil.rmtree(state, ignore_errors=True)
    before = _record(state, folder.name)
    print(f"Live: {folder.name}, in a state of its own, {state}", flush=True)
    source.open()
    life = life_of(order, folder, source)
    own = {"MLOPS_HOME": str(state), **source.variables}
    move_to({LOOK_EVERY: os.environ.get(LOOK_EVERY, QUICK), **own})
    if life.schedule.history and before.get("history") != life.schedule.history[-1]:
        if status := replay_history(life):
            return status
        write_text(
            state / RECORD, json.dumps({"use_case": folder.name, "history": life.schedule.history[-1]})
        )
    status = _beside_servers(life)
    shown = " ".join(f"{name}={value}" for name, value in own.items())
    print(f"The state is {state}. Look at it: {shown} mlops dev", flush=True)
    return status


def _record(state: Path, name: str) -> dict[str, Any]:
    """What was lived in a state before; it is written down at once that it lives this use case."""
    file = state / RECORD
    before: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"use_case": name}
    if before["use_case"] != name:
        raise LiveError(
            f"{state} has lived {before['use_case']!r}, and a state lives one use case: give --anew to begin again, or another MLOPS_HOME"
        )
    write_text(file, json.dumps(before))
    return before


def life_of(order: Order, folder: UseCaseFolder, source: HeldBack) -> Life:
    """What an order comes to: from where a model may be trained first, unless it says otherwise.

    Raises LiveError where there is nothing to live with.
    """
    use_case, specs = read_use_case(folder), specs_in(folder)
    named = use_case.replay.models
    models = [spec for spec in specs if named is None or spec.name in named]
    if not models:
        raise LiveError(
            f"use case {folder.name!r} has no model to live with: add one, or name it in replay.models"
        )
    names = source.names()
    trained = [moment for spec in models if (moment := quiet_until(None, spec, served=False))]
    behind = [name for name in names if trained and use_case.calendar.partition(name).start >= min(trained)]
    if not names or not (behind or order.since):
        raise LiveError(
            f"the sources of {folder.name!r} have {len(names)} partitions, too few for a first model: give --from PARTITION"
        )
    schedule = Schedule.of(order, use_case.calendar, names, (behind or names)[0])
    return Life(order, use_case, models, source, schedule)


def move_to(own: Mapping[str, str]) -> None:
    """Make these this process's variables, and take away all that would reach another state."""
    for name in [*os.environ]:
        if (name.startswith("MLOPS_") and name not in PASSED_ON) or name in ELSEWHERE:
            del os.environ[name]
    os.environ.update(own)


def replay_history(life: Life) -> int:
    """Bring what was before the first lived partition and replay it at once; the exit status of the replay."""
    landed, last = Landed(settings(), life.source), life.schedule.history[-1]
    for name in life.schedule.history:
        if name not in landed.names():
            landed.bring(name)
    Pace(settings()).set(life.use_case.calendar.partition(last).end + life.source.lateness)
    command = [sys.executable, *RUN, life.use_case.name, "--through", last]
    return subprocess.run(command, cwd=PROJECT_ROOT, check=False).returncode


def _beside_servers(life: Life) -> int:
    from mlops_assets.local import servers

    where = settings()

    def work(supervisor: Supervisor, stopping: Stop) -> None:
        _conduct(conductor_of(where, life, supervisor, stopping), where)

    return servers.main(where, work=work)


def conductor_of(where: Settings, life: Life, supervisor: Supervisor, stopping: Stop) -> "Conductor":
    """What conducts a life beside servers that are up."""
    import dagster as dg

    from mlops_assets.live.conductor import Conductor
    from mlops_assets.live.customers import Customers
    from mlops_assets.live.journal import Journal
    from mlops_assets.live.watch import Watch
    from resources.cluster import resources_of

    models, parts, pace = {spec.name: spec for spec in life.models}, resources_of(where), Pace(where)
    return Conductor(
        life.order,
        life.schedule,
        life.use_case.calendar,
        life.source,
        Landed(where, life.source),
        pace,
        Watch(life.use_case.name, models, dg.DagsterInstance.get(), parts["lake"], parts["audit"], wall()),
        Customers(where.serve_address, list(models), life.order.a_second),
        Journal(where.home, pace.now),
        alive=lambda: raise_if_ended(supervisor),
        due=lambda: stopping.due,
    )


def _conduct(conductor: "Conductor", where: Settings) -> None:
    """Switch the sensors on, and live."""
    from mlops_assets.live.conductor import EndedError
    from mlops_assets.live.journal import Event
    from mlops_assets.local.probes import start_sensor

    conductor.watch.forget_the_past()
    for name in conductor.watch.sensors:
        if why := start_sensor(where.dagster_url, name):
            raise LiveError(f"the sensor {name} is not on: {why}")
    try:
        conductor.live()
        lived = conductor.schedule.lived
        conductor.journal.tell(Event("ended", f"{len(lived)} partitions are lived, up to {lived[-1]}"))
    except EndedError:
        conductor.journal.tell(Event("ended", "somebody ends it"))
    print("stopping …", flush=True)
