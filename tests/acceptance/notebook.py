"""The notebook of docs/, executed by a kernel of its own over a copy of the project and of a small replayed state.

`python -m tests.acceptance.notebook` writes what comes of it into docs/.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from resources.settings import PROJECT_ROOT
from tests.small_year import environment, replayed

NOTEBOOK = PROJECT_ROOT / "docs" / "a-question-to-a-promotion.ipynb"
PACKAGES = ("mlops_assets", "resources", "feature_repo", "deployments")
REGISTER = """
from resources.features.stores import FeatureStores
from resources.settings import settings
FeatureStores.at(settings()).of("flights").apply()
"""
"""A registry names the files of the lake where it was applied, and the state is a copy."""

NUMBER = re.compile(r"-?\d+\.\d+")


def executed(small: Path, root: Path) -> Any:
    """The notebook with its outputs; `small` is the folder of the small state and its data, `root` an empty one to work in."""
    import nbformat
    from nbclient import NotebookClient

    ignore = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(PROJECT_ROOT / package, root / package, ignore=ignore)
    shutil.copytree(small / "home", root / "home")
    variables = _variables(small, root)
    subprocess.run([sys.executable, "-W", "ignore", "-c", REGISTER], env=variables, cwd=root, check=True)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {}
    resources = {"metadata": {"path": str(root)}}
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources)
    client.execute(env=variables)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":  # what libraries warn of names files of this machine
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


def _variables(small: Path, root: Path) -> dict[str, str]:
    """Nobody's settings of Jupyter and IPython, and no endpoint at the port."""
    own = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    more = {name: str(root / name.lower()) for name in own}
    data = str(small / "data")
    return environment(root / "home", PYTHONPATH=str(root), MLOPS_DATA=data, MLOPS_SERVE_PORT="9", **more)


def outputs(notebook: Any) -> list[list[str]]:
    """What each code cell shows, in words: text as it is, of a picture its kind alone."""
    return [[_in_words(output) for output in c.outputs] for c in notebook.cells if c.cell_type == "code"]


def _in_words(output: Any) -> str:
    if output.output_type == "stream":
        return output.text
    return "picture" if "image/png" in output.data else output.data["text/plain"]


def rounded(text: str) -> str:
    """The text with its numbers as they are on any machine: to two digits behind the point."""
    return NUMBER.sub(lambda number: f"{float(number[0]):.2f}", text)


def main() -> None:
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        small, root = Path(folder) / "small", Path(folder) / "root"
        small.mkdir()
        root.mkdir()
        replayed(small)
        nbformat.write(executed(small, root), NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
