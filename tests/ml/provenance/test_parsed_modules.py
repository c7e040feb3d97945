"""What is kept of parsed modules: the same parts, read instead of parsed, and never those of another source."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mlops_assets.ml.provenance import parsed_modules
from mlops_assets.ml.provenance.code_parts import parse
from mlops_assets.ml.provenance.parsed_modules import parsed, place_of
from resources.settings import PROJECT_ROOT

SOURCE = "from acme.limits import LATE\n\nclass Box:\n    size: LATE = 3\n\n    def late(self, by: 'LATE') -> int:\n        return by.x\n"
NAME = "acme.boxes"


@pytest.fixture(autouse=True)
def writes(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


@pytest.fixture
def parses(monkeypatch) -> list[str]:
    """The sources that were parsed, as they were."""
    sources = []

    def counted(name: str, source: str):
        sources.append(source)
        return parse(name, source)

    monkeypatch.setattr(parsed_modules, "parse", counted)
    return sources


def test_what_is_kept_is_what_would_be_parsed_for_every_module_of_the_project(tmp_path, parses):
    files = sorted(PROJECT_ROOT.glob("mlops_assets/*/**/*.py"))
    assert len(files) > 200
    for file in files[::7]:
        source, there = file.read_text(), tmp_path / file.relative_to(PROJECT_ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        first, again = (parsed("a.b", source, there) for _ in range(2))
        assert first == again == parse("a.b", source)
    assert len(parses) == len(files[::7])


def test_a_source_a_name_or_a_parser_that_changed_is_parsed_again(tmp_path, parses, monkeypatch):
    file = tmp_path / "boxes.py"
    parsed(NAME, SOURCE, file)
    assert parsed(NAME, SOURCE + "x = 1\n", file) == parse(NAME, SOURCE + "x = 1\n")
    assert parsed("acme.other", SOURCE, file) == parse("acme.other", SOURCE)
    parsed(NAME, SOURCE, file)
    assert len(parses) == 4
    parsed(NAME, SOURCE, file)
    assert len(parses) == 4
    monkeypatch.setattr(parsed_modules, "_parser", lambda: "a later one")
    parsed(NAME, SOURCE, file)
    assert len(parses) == 5


@given(st.data())
@examples(max_examples=40, deadline=None)
def test_a_kept_file_that_is_torn_or_of_another_shape_is_parsed_again(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("torn") / "boxes.py"
    whole = parsed(NAME, SOURCE, file)
    text = place_of(file).read_text()
    kept = json.loads(text)
    shapes = st.sampled_from(["", "null", "[]", "{}", json.dumps({"key": kept["key"], "module": {}})])
    place_of(file).write_text(data.draw(st.integers(0, len(text) - 1).map(lambda n: text[:n]) | shapes))
    assert parsed(NAME, SOURCE, file) == whole
    assert place_of(file).read_text() == text


def test_nothing_is_kept_where_python_keeps_no_byte_code_or_the_folder_cannot_be_written(
    tmp_path, monkeypatch, parses
):
    blocked = tmp_path / "__pycache__"
    blocked.write_text("a file where the folder would be")
    assert parsed(NAME, SOURCE, tmp_path / "boxes.py") == parse(NAME, SOURCE)
    blocked.unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    parsed(NAME, SOURCE, tmp_path / "boxes.py")
    assert not blocked.exists() and len(parses) == 2


def test_it_lies_where_python_was_told_to_put_byte_code(tmp_path):
    code = f"from mlops_assets.ml.provenance.parsed_modules import place_of\nfrom pathlib import Path\nprint(place_of(Path({str(tmp_path / 'boxes.py')!r})))"
    done = subprocess.run(
        [sys.executable, "-X", f"pycache_prefix={tmp_path / 'cache'}", "-c", code],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "cache")
