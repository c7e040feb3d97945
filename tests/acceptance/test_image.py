"""The image of deployments/docker, built into a root folder and run there as a process, without containers."""

import signal

import httpx
import pytest

from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import wait
from tests.acceptance.image import Stage, build

pytestmark = pytest.mark.nightly
"""Two gigabytes are installed; `tests/test_manifests.py` has what can be told from the file alone."""

DOCKERFILE = PROJECT_ROOT / "deployments" / "docker" / "Dockerfile"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    return build(DOCKERFILE, PROJECT_ROOT, folder)


def told(image: Stage, *command: str, **given: str) -> str:
    process = image.run(list(command), **given)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    return output


def test_it_is_nobody_and_has_the_versions_of_the_lock_with_what_a_cluster_needs(image):
    assert told(image, "python", "-c", "import os; print(os.getuid())").strip() == "10001"
    says = "import importlib.metadata as m; print(*(f'{n}=={m.version(n)}' for n in ('dagster', 'feast', 'ray', 'dagster-k8s', 'dagster-aws', 'dagster-postgres', 'mlops-assets')))"
    found = told(image, "python", "-c", says).split()
    locked = (PROJECT_ROOT / "requirements.lock").read_text() + (
        PROJECT_ROOT / "requirements-dev.lock"
    ).read_text()
    assert len(found) == 7
    assert [
        one for one in found if f"\n{one}" not in f"\n{locked}".replace("[serve]", "").replace("[redis]", "")
    ] == ["mlops-assets==0.1.0"]


def test_its_definitions_load_and_its_command_answers(image):
    assert "everything fits" in told(image, "mlops", "check", MLOPS_HOME="/mlops/check")
    assert told(image, "pg_dump", "--version").startswith("pg_dump (PostgreSQL) ")


def test_its_endpoint_runs_as_a_process_and_listens_where_it_is_told(image, free_port):
    port = free_port()
    process = image.run(list(image.command), MLOPS_SERVE_PORT=str(port), MLOPS_HOME="/mlops/served")
    try:
        wait(
            lambda: answers(port),
            "the endpoint of the image answers",
            180,
            lambda: process.poll() is not None,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_holds_no_tests_no_state_and_no_tools_of_the_build(image):
    app = {path.name for path in (image.root / "app").iterdir()}
    assert not app & {"tests", ".git", ".mlops", "benchmarks", ".venv"}
    assert not (image.root / "usr" / "bin" / "gcc").exists()
    owned = [p for p in (image.root / "app").rglob("*") if not p.is_symlink() and p.stat().st_uid == 10001]
    assert owned == []
    assert (image.root / "mlops").stat().st_uid == 10001 and (image.root / "mlops").is_dir()
