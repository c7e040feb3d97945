"""The house keeps its shape: who may import whom, and what a code location may load."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.ml.training.kinds import trainer_kinds
from resources.settings import PROJECT_ROOT
from tests.source_files import (
    FILES,
    LIFTABLE,
    MODULES,
    OURS,
    PACKAGES,
    below,
    imports,
    inside,
    offenders,
    part,
    tree,
)

HEAVY = {
    "feast",
    "mlflow",
    "evidently",
    "ray",
    "xgboost",
    "torch",
    "sklearn",
    "matplotlib",
    "pandas",
    "kubernetes",
}


def test_there_is_something_to_look_at():
    assert len(FILES) > 50
    assert {part(file).split("/")[0] for file in FILES} == set(PACKAGES)


PURE_READERS = (
    "resources.addresses",
    "resources.yaml_files",
    "resources.moments",
    "resources.records",
    "resources.use_case_folders",
)
"""Values and how they are read: they know no system, so that a spec and a pure function may read them too."""


def test_spec_and_ml_know_neither_dagster_nor_the_resources():
    found = offenders(
        inside("mlops_assets/spec/", "mlops_assets/ml/"), "dagster", "resources", "feature_repo"
    )
    assert [line for line in found if not below(line.split()[-1], *PURE_READERS)] == []


def test_the_readers_that_specs_share_with_the_resources_know_no_system():
    readers = [file for name, file in MODULES.items() if below(name, *PURE_READERS)]
    found = {name for file in readers for name in imports(file)}
    known = {*PURE_READERS, "feature_repo.offline_store.iso8601", "pydantic", "yaml"}
    assert {n for n in found if not below(n, *known, *sys.stdlib_module_names)} == set()


def test_nothing_outside_of_its_folder_knows_a_use_case():
    """Use cases are found; every room works for any business."""
    general = [f for f in FILES if not part(f).startswith("mlops_assets/use_cases/")]
    found = offenders(general, "mlops_assets.use_cases.flights")
    assert found == []


def test_no_word_of_the_worked_example_stands_outside_of_its_folder():
    general = [f for f in FILES if not part(f).startswith("mlops_assets/use_cases/")]
    words = re.compile(r"flight|2013|airport|tailnum", re.IGNORECASE)
    found = {part(file): words.findall(file.read_text()) for file in general}
    assert {file: said for file, said in found.items() if said} == {}


SEVEN_DAYS = {
    "mlops_assets/spec/base.py": "a span of time may be given in weeks",
    "mlops_assets/spec/calendar.py": "a weekly calendar has whole weeks",
    "mlops_assets/spec/cron.py": "a cron line names days of the week",
    "mlops_assets/spec/gate.py": "a cluster may be the week of the prediction time",
    "mlops_assets/spec/columns.py": "a cluster may be the week of the prediction time",
    "mlops_assets/stages/rollout_rows.py": "a cluster may be the week of the prediction time",
    "mlops_assets/ml/judging/gate.py": "a cluster may be the week of the prediction time",
    "mlops_assets/spec/ticks.py": "changes of a zone's clock are looked for week by week",
    "mlops_assets/replay/policies.py": "the policy that retrains every four weeks",
    "mlops_assets/commands/new.py": "the example's rows are of seven weeks",
}
KEPT_NAMES = {
    "mlops_assets/spec/earlier.py": "specs of earlier releases had `weeks`",
    "mlops_assets/spec/decides.py": "the calendar is hashed as `weeks`",
    "mlops_assets/automation/tries.py": "the tag of an earlier release's runs",
    "mlops_assets/commands/by_use_case.py": "the table of an earlier release's replay",
    "mlops_assets/commands/audit.py": "entries of the audit log",
    "mlops_assets/promotion/records.py": "entries of the audit log",
    "mlops_assets/stages/evidence.py": "entries of the audit log",
    "mlops_assets/stages/attempt.py": "the record of an evaluation, which is hashed",
    "mlops_assets/stages/reporting.py": "a column of the reports in the lake",
    "mlops_assets/ml/reports/table_columns.py": "a column of the reports in the lake",
    "mlops_assets/stages/searching.py": "the record of a search, and a tag in MLflow",
    "mlops_assets/stages/training.py": "a tag in MLflow",
    "mlops_assets/stages/card.py": "a tag in MLflow, entries of the audit log, and a column of the reports",
    "mlops_assets/assets/monitoring.py": "a column of the reports in the lake",
    "resources/records/reader.py": "records, which are hashed",
}
"""Who writes or reads a name with the word that is on disk, in a hash or in MLflow since an earlier release."""


def test_the_word_week_stands_where_seven_days_are_meant():
    """A cadence may be any: what a calendar is cut into is called a partition."""
    general = [f for f in FILES if not part(f).startswith("mlops_assets/use_cases/flights/")]
    word = re.compile(r"(?<![a-z])weeks?(?![a-z])|[a-z]_?Week(?![a-z])", re.IGNORECASE)
    found = {part(file) for file in general if word.search(file.read_text())}
    assert found == {*SEVEN_DAYS, *KEPT_NAMES}


def test_the_names_of_before_are_texts_alone():
    """In files that keep a stored name, the word stands in quotes or backticks only."""
    quoted = re.compile(r"""(["'`])[^"'`\s]*week[^"'`\s]*\1""")
    said = {
        name: quoted.sub("", (PROJECT_ROOT / name).read_text()).replace("a calendar of weeks", "")
        for name in KEPT_NAMES
    }
    assert [name for name, text in said.items() if re.search(r"week(?!ly)", text)] == []


def test_resources_never_import_what_exists():
    assert offenders(inside("resources/"), "mlops_assets", "tests", "benchmarks") == []


def test_the_feature_repository_imports_feast_frames_and_store_clients_only():
    tools = {"feast", "polars", "numpy", "pyarrow", "pandas", "pydantic", "pydantic_core", "google", "ray"}
    allowed = {*tools, "sqlite3", "redis", "hiredis", "feature_repo"}
    found = {name.split(".")[0] for file in inside("feature_repo/") for name in imports(file)}
    assert found - allowed - set(sys.stdlib_module_names) == set()
    assert offenders(inside("feature_repo/"), "ray", module_level=True) == []


@pytest.mark.parametrize("folder", LIFTABLE)
def test_a_store_imports_nothing_of_ours_from_outside_of_its_folder(folder):
    package = folder.strip("/").replace("/", ".")
    found = {name for file in inside(folder) for name in imports(file)}
    assert {name for name in found if below(name, *OURS) and not below(name, package)} == set()


def test_components_are_built_from_assets_and_automation():
    found = {name for file in inside("mlops_assets/components/") for name in imports(file)}
    assert any(below(name, "mlops_assets.assets") for name in found)


def test_only_the_project_opens_the_definitions():
    found = {line.split()[0] for line in offenders(FILES, "mlops_assets.definitions")}
    assert found == {"mlops_assets/project.py"}


def calls(name: str) -> set[str]:
    """Files of the packages that call a method of this name."""
    return {
        part(file)
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    }


def test_the_champion_changes_in_one_place_only():
    assert calls("set_registered_model_alias") == {"resources/tracking/tracking.py"}
    assert calls("promote") == calls("anchor") == {"mlops_assets/promotion/following.py"}
    assert {file for file in calls("publish") if not file.startswith("feature_repo")} == {
        "mlops_assets/promotion/following.py"
    }
    assert not calls("delete_registered_model_alias")


MLFLOW = "resources/tracking/"
"""The room that knows MLflow; the rest of the platform enters it by the door, and reads versions as values."""


def test_mlflow_is_reached_through_tracking_only():
    inner = [f"resources.tracking.{file.stem}" for file in inside(MLFLOW)]
    doors = {"resources.tracking.tracking", "resources.tracking.versions", "resources.tracking.__init__"}
    outside = [file for file in FILES if not part(file).startswith(MLFLOW)]
    assert offenders(outside, "mlflow", *(name for name in inner if name not in doors)) == []


FEAST_PACKAGE = re.compile(r"mlops_assets/use_cases/\w+/features/")
"""A use case's own Feast package, which whoever loads the code location does not import."""


@pytest.mark.parametrize("package", ["mlops_assets", "resources"])
def test_no_heavy_library_is_imported_when_a_module_is(package):
    ours = [file for file in inside(f"{package}/") if not FEAST_PACKAGE.match(part(file))]
    assert offenders(ours, *HEAVY, module_level=True) == []


def test_a_server_can_load_the_code_location(tmp_path):
    code = (
        "import dagster, mlops_assets.definitions as ours; dagster.Definitions.validate_loadable(ours.defs)"
    )
    environment = {**os.environ, "MLOPS_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_loading_the_code_location_loads_no_heavy_library(tmp_path):
    code = "import sys, mlops_assets.definitions; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "MLOPS_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert loaded & {*HEAVY, "fastapi"} == set()
    assert loaded & OURS == {"mlops_assets", "resources", "feature_repo"}


AGGREGATES = """
type: mlops_assets.components.table.TableComponent

attributes:
  name: sales
  source: {kind: csv, path: sales.csv}
  columns: {sale_id: int, shop: str, amount: float, pieces: int, sold_at: datetime}
  key: [sale_id]
  time: sold_at
  aggregates:
    shop:
      key: [shop]
      features:
        dear_7d: {count: rows, over: 7d, where: amount > 10}
        worth_7d: {sum: amount * pieces, over: 7d}
"""


def test_loading_the_code_location_starts_no_thread_that_a_fork_would_cut_off(tmp_path):
    """With one, each run would be a process of its own that imports everything again, for eight seconds."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "use_case.yaml").write_text(
        "owner: team:shop\ndescription: Sales.\ncalendar: {cadence: daily, start: 2024-01-01}\n"
    )
    (tmp_path / "shop" / "defs.yaml").write_text(AGGREGATES)
    code = "import mlops_assets.definitions as d; from mlops_assets.local.warm_server import other_threads; print(d.loaded()[1], other_threads())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={
            **os.environ,
            "MLOPS_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(PROJECT_ROOT),
            "MLOPS_USE_CASES": str(tmp_path / "shop"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[-2] == "{} []"


def test_what_the_platform_reads_of_the_feature_repository_is_plain_data():
    """Words about features, in modules of the standard library alone, so that nobody waits for Feast to read them."""
    words = (
        "mlops_assets.use_cases.flights.features.catalogue",
        "mlops_assets.use_cases.flights.features.described",
    )
    features = "mlops_assets.use_cases.flights.features"
    outside = [file for file in inside("mlops_assets/") if "/features/" not in part(file)]
    read = {name for file in outside for name in imports(file) if below(name, features)}
    assert read and [name for name in read if not below(name, *words)] == []
    plain = {"dataclasses", "datetime", "typing", "mlops_assets"}
    for file in inside(
        "mlops_assets/use_cases/flights/features/catalogue.py",
        "mlops_assets/use_cases/flights/features/described.py",
    ):
        assert {name.split(".")[0] for name in imports(file)} <= plain


WALL_CLOCKS = {
    "mlops_assets/automation/retention.py": "how old a log or a trial is, by when its run really ended",
    "mlops_assets/kit/reuse.py": "a page says when something was left as it is",
    "mlops_assets/stages/standing.py": "when somebody asked how the models stand, and what was served in the day before",
    "mlops_assets/kit/described.py": "which runs of Dagster's ended lately, and what the month cost",
    "resources/serving/http/page/first_page.py": "how old what the page shows of the models is",
    "resources/audit/log.py": "an entry says when it was really written, whatever time is simulated",
    "resources/backup/backup.py": "when a backup was really begun, and how much work a restore loses",
    "resources/clock.py": "the clock itself",
    "resources/features/push.py": "when an event got in is compared with when files were written and requests served",
    "resources/serving/live_models.py": "when a request was served is compared with when files were written",
    "mlops_assets/automation/alerting.py": "how long ago a run failed, and when people are told",
    "mlops_assets/local/exporter.py": "when people are told",
    "mlops_assets/commands/alerts.py": "when somebody took an alert in hand",
    "mlops_assets/local/lost_runs.py": "how long ago a run was handed over, by the machine's time that Dagster notes",
    "mlops_assets/pods/reaping.py": "how long ago Kubernetes made or ended something, by its own clock",
    "resources/storage/local.py": "when a file was last changed is compared with now, before its stamp is trusted",
    "mlops_assets/live/journal.py": "an event says when it really was, beside the simulated time",
    "mlops_assets/live/conductor.py": "since when the platform has had time to look, which its sensors do by the machine's time",
    "mlops_assets/live/run.py": "from when on runs are told of, by the machine's time that Dagster notes",
    "mlops_assets/live/pace.py": "a simulated clock is set beside the machine's",
    "mlops_assets/live/declared.py": "how far a source without an end goes that is lived again",
    "resources/command_errors.py": "a file of errors says when each was",
    "resources/tracking/searches.py": "MLflow's own times of a run",
    "resources/tracking/tracking.py": "MLflow's own times of a run",
}
"""Who reads the wall clock, and why that decides nothing about data; everything else asks `resources.clock.Clock`."""

READINGS = {"now", "utcnow", "today", "time", "time_ns", "wall", "localtime", "gmtime"}
CLOCKS = {"datetime", "date", "time", "dt"}


def reads_the_wall_clock(call: ast.Call) -> bool:
    """Whether a call asks the machine what time it is: `datetime.now`, `date.today`, `time.time` and the like, or `wall`."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "wall"
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in READINGS:
        return False
    owner = call.func.value
    return getattr(owner, "id", getattr(owner, "attr", "")) in CLOCKS or call.func.attr == "wall"


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("datetime.now(UTC)", True),
        ("datetime.datetime.now()", True),
        ("time.time()", True),
        ("wall()", True),
        ("clock.wall()", True),
        ("self.clock.now()", False),
        ("time.monotonic()", False),
        ("datetime.combine(day, time())", False),
    ],
)
def test_a_reading_of_the_wall_clock_is_told_from_one_of_our_clock(code, reads):
    assert any(reads_the_wall_clock(n) for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call)) is reads


def test_nothing_but_the_clock_reads_the_wall_clock_for_a_decision_about_data():
    found = {
        part(file)
        for file in inside("mlops_assets/", "resources/")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and reads_the_wall_clock(node)
    }
    assert found == set(WALL_CLOCKS)


def test_files_stay_short_enough_to_be_read_at_once():
    long = {part(file): lines for file in FILES if (lines := len(file.read_text().splitlines())) > 320}
    assert long == {}


def test_nothing_is_unpickled_by_our_own_code():
    """A model, a lineage or a checkpoint that somebody else wrote must not run anything when it is read."""
    assert offenders(FILES, "pickle", "cloudpickle", "dill", "joblib", "shelve") == []


@pytest.mark.parametrize("package", ["stages", "spec", "ml"])
def test_no_module_of_a_package_without_dagster_loads_it(package, tmp_path):
    modules = [part(file)[:-3].replace("/", ".") for file in inside(f"mlops_assets/{package}/")]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; print('dagster' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "MLOPS_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_stages_promotion_and_the_systems_know_no_dagster():
    """`resources/instance_storage.py` is Dagster's own storage, kept open; logs of runs are found by Dagster's name."""
    apart = inside(
        "mlops_assets/stages/", "mlops_assets/promotion/", "mlops_assets/spec/", "mlops_assets/ml/"
    )
    assert offenders([*apart, PROJECT_ROOT / "mlops_assets" / "errors.py"], "dagster") == []
    systems = [file for file in inside("resources/") if file.name != "instance_storage.py"]
    assert offenders(systems, "dagster", module_level=True) == []


TRAINERS = "mlops_assets/ml/training/trainers/"
FRAMEWORKS = {"resources/features/stand_in.py", "resources/features/feast_import.py"}
"""Stand in for heavy libraries that Feast or a feature repository may import; PyTorch is one of them, trainer or not."""


def words(file: Path) -> Iterator[str]:
    """What a file names outside of its prose: names, attributes, imports and texts, docstrings left out."""
    whole = tree(file)
    prose = {id(node.value) for node in ast.walk(whole) if isinstance(node, ast.Expr)}
    for node in ast.walk(whole):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
    yield from imports(file)


def texts(file: Path) -> set[str]:
    return {
        n.value
        for n in ast.walk(ast.parse(file.read_text()))
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


def names_of_trainers() -> tuple[set[str], set[str]]:
    """Words that are a trainer's as they stand, and those that are in any longer word; told by the trainers themselves."""
    kinds = trainer_kinds()
    whole = {word for kind in kinds for word in (kind.name, kind.file, kind.reader, kind.spec.__name__)}
    parts = {library for kind in kinds for library in (*kind.libraries, *kind.ahead, *kind.needs)}
    return whole, parts


def test_nothing_else_names_a_trainer():
    whole, parts = names_of_trainers()
    assert {"xgboost", "function", "model.lgb", "TorchTabular"} <= whole and {"torch", "lightgbm"} <= parts
    outside = [f for f in FILES if not part(f).startswith(TRAINERS) and part(f) not in FRAMEWORKS]
    named = {
        (part(file), word)
        for file in outside
        for word in words(file)
        if any(library in word.lower() for library in parts)
    }
    named |= {(part(file), text) for file in outside for text in texts(file) & whole}
    assert named == set()


def test_a_trainer_names_no_other():
    """The page's `framework` of a loop of one's own is Ray Train's list of its own classes."""
    for kind in trainer_kinds():
        own = kind.train.__module__.split(".")[-1]
        others = {
            m for k in trainer_kinds() if k is not kind for m in (k.spec.__module__, k.train.__module__)
        }
        assert offenders([PROJECT_ROOT / TRAINERS / f"{own}.py"], *others) == []
    loaded = {name for file in FILES if not part(file).startswith(TRAINERS) for name in imports(file)}
    assert {n for n in loaded if below(n, "mlops_assets.ml.training.trainers")} - {
        n for n in loaded if below(n, "mlops_assets.ml.training.trainers.base")
    } == set()


def test_every_file_of_a_trainer_has_an_entry_point():
    points = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    described = {
        f"mlops_assets.ml.training.trainers.{file.stem}:TRAINER"
        for file in inside(TRAINERS)
        if "TRAINER = " in file.read_text()
    }
    assert set(points["mlops_assets.trainers"].values()) == described


STORAGE = "resources/storage/"


def test_nobody_above_the_storage_knows_which_kind_it_is():
    """Whoever reads or writes takes what `storage_at` gives, and names no folder and no bucket of its own."""
    outside = [file for file in FILES if not part(file).startswith((STORAGE, "feature_repo/"))]
    kinds = (
        "resources.storage.local",
        "resources.storage.object_store",
        "obstore",
        "boto3",
        "s3fs",
        "fsspec",
    )
    assert offenders(outside, *kinds) == []
    assert offenders(inside(STORAGE), "obstore", module_level=True) == []
