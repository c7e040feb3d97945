"""docs/training.md, "Write a trainer": the page's package installed beside the platform, and a model that lives from it."""

import io
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from mlops_assets.use_cases.flights.request import EXAMPLE
from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT, settings
from tests.small_year import THROUGH, environment, serving

PAGE = (PROJECT_ROOT / "docs" / "training.md").read_text().partition("## Write a trainer\n")[2]
TOML, PYTHON, TRAINER = (
    re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0] for language in ("toml", "python", "yaml")
)
MODEL = re.findall(r"```yaml\n(.*?)```", (PROJECT_ROOT / "docs" / "third-model.md").read_text(), re.DOTALL)[0]
KINDS = "import mlops_assets.spec.trainers as t; print(*t.spec_kinds())"
IDENTITY = (
    "from mlops_assets.spec.files import read_specs; from mlops_assets.stages.fingerprints import *;"
    "specs = read_specs(); print(*[fit_code(specs[n]) + judge_code(specs[n]) for n in ('long_delay', 'flight_delay')])"
)
Run = Callable[..., subprocess.CompletedProcess[str]]


def wheel(folder: Path, toml: str, **files: str) -> bytes:
    """What pip would build and unpack."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(toml)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    (file,) = (folder / "dist").glob("*.whl")
    return file.read_bytes()


def installed(target: Path, content: bytes) -> Path:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="module")
def ridge(tmp_path_factory) -> bytes:
    return wheel(tmp_path_factory.mktemp("sources") / "ridge", TOML, ridge_trainer=PYTHON)


def python(code: str, *paths: Path, home: Path) -> subprocess.CompletedProcess[str]:
    path = ":".join(map(str, [*paths, PROJECT_ROOT]))
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment(home, PYTHONPATH=path),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_trainer_that_is_installed_stands_beside_the_platforms_own(ridge, tmp_path):
    beside = installed(tmp_path / "beside", ridge)
    shipped = python(KINDS, home=tmp_path).stdout.split()
    assert "ridge" not in shipped
    assert python(KINDS, beside, home=tmp_path).stdout.split() == [
        *shipped[:1],
        *sorted([*shipped[1:], "ridge"]),
    ]


@pytest.mark.parametrize(
    ("point", "source", "said"),
    [
        ('ridge = "ridge_trainer:TRAINER"', "import no_such_library", "No module named 'no_such_library'"),
        ('ridge = "ridge_trainer:TRAINER"', "OTHER = 1", "has no attribute 'TRAINER'"),
        ('ridge = "ridge_trainer:TRAINER"', "TRAINER = 7", "names a int: it must name a TrainerKind"),
        ('other = "ridge_trainer:TRAINER"', PYTHON, "describes kind 'ridge': call the entry point"),
        (
            'ridge = "ridge_trainer:TRAINER"',
            PYTHON.replace("scorer=Model", "scorer=dict"),
            "is no subclass of mlops_assets.ml.training.trainers.base:TrainedModel",
        ),
        (
            'ridge = "ridge_trainer:TRAINER"',
            PYTHON.replace("train=train", "train=lambda job, worker: None"),
            "so its code has no digest",
        ),
        (
            'ridge = "ridge_trainer:TRAINER"',
            PYTHON.replace("spec=Ridge", "default=True, spec=Ridge"),
            "are both the default: uninstall one of them",
        ),
        (
            'xgboost = "ridge_trainer:TRAINER"',
            PYTHON,
            "are both called xgboost: uninstall one of them",
        ),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_refused_by_its_name_and_package(point, source, said, tmp_path):
    toml = TOML.replace('ridge = "ridge_trainer:TRAINER"', point)
    beside = installed(tmp_path / "beside", wheel(tmp_path / "source", toml, ridge_trainer=source))
    answer = python(KINDS, beside, home=tmp_path)
    assert answer.returncode == 1
    (told,) = [line for line in answer.stderr.splitlines() if "TrainerError:" in line]
    assert said in told
    assert f"{point.replace(chr(34), '')} of ridge-trainer 1.0, group mlops_assets.trainers" in told


def test_what_is_installed_reads_no_bytes_unless_the_spec_names_it(ridge, tmp_path):
    beside = installed(tmp_path / "beside", ridge)
    planted = PYTHON.replace("def recognises", "print('the file was opened')\n\n\ndef recognises")
    (beside / "ridge_trainer.py").write_text(
        planted.replace("ours = json", "raise SystemExit('read')\n        ours = json")
    )
    code = "from mlops_assets.ml.training.fit import Scorer; Scorer(b'{\"ridge\":{}}', code={code!r}, kind='ridge')"
    answer = python(code.replace("{code!r}", "()"), beside, home=tmp_path)
    assert "is no model of xgboost, function, lightgbm, torch_tabular" in answer.stderr
    assert "read" not in answer.stderr.splitlines()
    assert (
        python(code.replace("{code!r}", "['ridge_trainer:Model']"), beside, home=tmp_path).stderr == "read\n"
    )


@dataclass
class State:
    """A copy of the project and of a replayed state, with the page's trainer beside it and one model that names it."""

    root: Path
    beside: Path
    mlops: Run
    python: Run

    @property
    def home(self) -> Path:
        return self.root / ".mlops"


@pytest.fixture(scope="module")
def state(small_home, ridge, tmp_path_factory) -> State:
    root = tmp_path_factory.mktemp("project")
    ignore = shutil.ignore_patterns("__pycache__", "arrival_minutes")
    for folder in ("mlops_assets", "resources", "feature_repo", "deployments"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder, ignore=ignore)
    shutil.copytree(small_home, root / ".mlops")
    beside = installed(root / "beside", ridge)
    added = root / "mlops_assets" / "use_cases" / "flights" / "models" / "long_delay"
    added.mkdir()
    own = re.sub(r"  trainer:\n(    .*\n)+", f"  {TRAINER}", MODEL)
    (added / "defs.yaml").write_text(own)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            env=environment(root / ".mlops", PYTHONPATH=f"{root}:{beside}"),
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )

    return State(
        root, beside, lambda *given: run("-m", "mlops_assets.cli", *given), lambda code: run("-c", code)
    )


def test_a_mistake_in_the_fields_of_the_trainer_is_told_with_file_and_line(state):
    file = state.root / "mlops_assets" / "use_cases" / "flights" / "models" / "long_delay" / "defs.yaml"
    text = file.read_text()
    said = {
        "penalty: -1": "trainer.penalty",
        "penalti: 10": "trainer.penalti",
        "penalty: 10, workers: 2": "one worker",
    }
    try:
        for wrong, expected in said.items():
            file.write_text(text.replace("penalty: 10", wrong))
            answer = state.mlops("run").stderr
            assert f"defs.yaml:{text[: text.index('penalty')].count(chr(10)) + 1}" in answer
            assert expected in answer
    finally:
        file.write_text(text)


@pytest.fixture(scope="module")
def trained(state) -> State:
    done = state.mlops("run", "--through", THROUGH, "--no-compare")
    assert done.returncode == 0, done.stdout + done.stderr
    return state


def test_a_model_of_it_is_trained_judged_and_deployed(trained):
    home = settings({"MLOPS_HOME": str(trained.home)})
    attempt = Lake(root=str(home.lake)).read_json(f"long_delay/attempts/{THROUGH}")
    assert attempt and attempt["promote"], attempt
    assert attempt["hold_out"]["rows"] > 500
    models = [*home.mlflow_artifacts.rglob("model.ridge.json")]
    assert models and all(path.read_bytes().startswith(b'{"ridge":') for path in models)
    requirements = (models[0].parent / "requirements.txt").read_text()
    assert "ridge-trainer==1.0" in requirements


def test_the_endpoint_answers_with_it(trained, free_port, monkeypatch):
    port = free_port()
    monkeypatch.setattr("tests.small_year.PROJECT_ROOT", trained.root)
    with monkeypatch.context() as patch:
        patch.setattr(
            "tests.small_year.environment",
            lambda home, **more: environment(
                home, **more | {"PYTHONPATH": f"{trained.root}:{trained.beside}"}
            ),
        )
        with serving(trained.home, port):
            reply = answered(f"http://127.0.0.1:{port}/predict/long_delay")
    assert reply.status_code == 200, reply.text
    assert 0 < reply.json()["probability"] < 1


def answered(address: str, seconds: float = 300) -> httpx.Response:
    """The first answer of the application: before it is up nobody listens, or Ray Serve knows no such path."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            reply = httpx.post(address, json=EXAMPLE, timeout=seconds)
            if reply.status_code == 200 or time.monotonic() > deadline:
                return reply
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def test_a_version_of_it_is_rebuilt_and_a_change_of_its_file_makes_another_identity(trained):
    file = trained.beside / "ridge_trainer.py"
    text = file.read_text()
    verified = trained.mlops("verify", "long_delay@1")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "IDENTICAL" in verified.stdout
    own, other = trained.python(IDENTITY).stdout.split()
    try:
        file.write_text(text.replace("START = ", "# the same, said otherwise\nSTART = "))
        assert trained.python(IDENTITY).stdout.split() == [own, other]
        file.write_text(text.replace("linear / 2", "linear / 3"))
        assert trained.python(IDENTITY).stdout.split()[1] == other
        assert trained.python(IDENTITY).stdout.split()[0] != own
        changed = trained.mlops("verify", "long_delay@1")
    finally:
        file.write_text(text)
    assert changed.returncode == 1
    assert "DIFFERENT" in changed.stdout and "ridge_trainer.py" in changed.stdout
