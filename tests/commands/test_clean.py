"""`make clean` removes a state folder and nothing else, whatever MLOPS_HOME names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.commands.clean import PARTS, NotStateError, remove
from resources.at_work import RUNS, SERVERS, AtWorkError, beside_others, serving
from resources.settings import PROJECT_ROOT, settings

STATE = sorted(PARTS - {RUNS, SERVERS})
NAMES = st.sampled_from([*STATE, "thesis.tex", ".git", "src", ".bashrc", "Lake", "lake "])


@given(st.sets(NAMES, max_size=6))
def test_a_folder_goes_whole_if_all_in_it_is_state_and_else_stays_whole(tmp_path_factory, names):
    home = tmp_path_factory.mktemp("home")
    for name in names:
        (home / name).mkdir()
        (home / name / "file").write_text(name)
    if names <= PARTS:
        assert remove(home)
        assert not home.exists()
        return
    with pytest.raises(NotStateError, match="nothing is removed"):
        remove(home)
    assert {path.parent.name for path in home.glob("*/file")} == names
    shutil.rmtree(home)


@pytest.mark.parametrize("home", [Path("/"), Path.home(), PROJECT_ROOT, PROJECT_ROOT.parent])
def test_the_project_and_what_holds_it_are_never_removed(home):
    with pytest.raises(NotStateError, match="nothing is removed"):
        remove(home)


def test_a_link_that_is_called_like_state_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "lake").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotStateError, match="holds lake"):
        remove(tmp_path / "home")
    assert (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("work", "said"), [(beside_others, "a Dagster run is at work"), (serving, "servers are up")]
)
def test_a_state_that_somebody_works_on_stays(work, said, tmp_path):
    home = tmp_path / "home"
    (home / "lake" / "raw").mkdir(parents=True)
    with work(home), pytest.raises(AtWorkError, match=said):
        remove(home)
    assert (home / "lake" / "raw").exists()
    assert remove(home)


def test_every_folder_that_the_settings_name_is_known_as_state():
    where = settings({"MLOPS_HOME": "/state"})
    named = (getattr(where, name) for name, value in vars(type(where)).items() if isinstance(value, property))
    folders = {path.relative_to(where.home).parts[0] for path in named if isinstance(path, Path)}
    assert folders <= PARTS
    assert len(folders) > 5


def test_make_clean_says_what_it_did_without_anything_installed(tmp_path):
    environment = {**os.environ, "MLOPS_HOME": str(tmp_path / "home"), "PYTHON": sys.executable}
    (tmp_path / "home" / "lake").mkdir(parents=True)
    (tmp_path / "home" / "notes.txt").write_text("mine")
    command = ["make", "-s", "clean", f"PYTHON={sys.executable} -S"]
    refused = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "holds notes.txt, which this project does not keep" in refused.stderr
    (tmp_path / "home" / "notes.txt").unlink()
    done = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"removed {tmp_path / 'home'}\n")
