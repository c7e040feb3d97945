"""Code, packages and machine are named so that a change of one is a change of its own entry."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.ml.provenance import provenance
from mlops_assets.spec.trainers import spec_kinds
from resources.settings import PROJECT_ROOT


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A package of features with two modules, importable under a name of its own."""
    folder = tmp_path / "parcel_features"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "views.py", "inner/__init__.py", "inner/store.py"):
        (folder / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    provenance._files.cache_clear()
    yield folder
    provenance._files.cache_clear()


def test_every_source_file_of_platform_and_feature_repository_is_named(repository):
    files = provenance.code("parcel_features")["files"]
    ours = {p.relative_to(PROJECT_ROOT).as_posix() for p in (PROJECT_ROOT / "mlops_assets").rglob("*.py")}
    assert ours <= set(files)
    assert {"parcel_features/views.py", "parcel_features/inner/store.py", "resources/lake/lake.py"} <= set(
        files
    )


def test_a_changed_file_changes_its_own_entry_and_the_digest(repository):
    before = provenance.code("parcel_features")
    (repository / "inner" / "store.py").write_text("x = 2\n")
    provenance._files.cache_clear()
    after = provenance.code("parcel_features")
    changed = {name for name, digest in before["files"].items() if after["files"][name] != digest}
    assert changed == {"parcel_features/inner/store.py"}
    assert before["digest"] != after["digest"]


def test_modules_that_a_spec_names_count_as_well(repository):
    assert "json/__init__.py" in provenance.code("parcel_features", ["json"])["files"]
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        provenance.code("parcel_features", ["no_such_module"])


def test_the_packages_that_are_installed_have_their_versions_and_others_are_left_out(tmp_path):
    found = provenance.packages()
    assert found["polars"] and found["numpy"]
    trainers = {name for kind in spec_kinds().values() for names in kind.libraries.values() for name in names}
    assert {"lightgbm"} < set(found) & trainers
    assert set(found) <= {*provenance.MATTER, *trainers}
    fake = tmp_path / "polars-9.9.9.dist-info"
    fake.mkdir()
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: polars\nVersion: 9.9.9\n")
    code = "from mlops_assets.ml.provenance import provenance; print(provenance.packages()['polars'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{tmp_path}:{PROJECT_ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "9.9.9"


def test_without_git_revision_and_clean_are_unknown_unless_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.delenv("MLOPS_REVISION", raising=False)
    assert provenance.revision.__wrapped__() == ("unknown", None)
    monkeypatch.setenv("MLOPS_REVISION", "v1.2")
    assert provenance.revision.__wrapped__() == ("v1.2", None)
    assert provenance.lock() is None


def test_in_a_git_tree_the_revision_is_head_and_a_changed_file_makes_it_unclean(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "a.py").write_text("x = 1\n")
    git("add", "a.py")
    git("commit", "-q", "-m", "one")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.delenv("MLOPS_REVISION", raising=False)
    assert provenance.revision.__wrapped__() == (git("rev-parse", "HEAD"), True)
    Path(tmp_path, "a.py").write_text("x = 2\n")
    assert provenance.revision.__wrapped__() == (git("rev-parse", "HEAD"), False)


def test_the_machine_is_told_in_plain_values():
    told = provenance.platform()
    assert told["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert told["polars_threads"] > 0 and told["cpu"]
