"""`mlops status` over an empty state: what it says, as text and as a document, and how it exits."""

import json

import pytest

from mlops_assets import cli
from resources.records.standing import PlatformStatus

MODEL = "buys_again"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A folder with a use case whose file lacks its calendar."""
    folder = tmp_path / "businesses" / "shops"
    folder.mkdir(parents=True)
    (folder / "use_case.yaml").write_text("owner: team:shops\n")
    monkeypatch.setenv("MLOPS_USE_CASES", str(folder))


def said(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["status", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_document_is_the_record_that_the_endpoint_reads_and_its_lines_name_every_model(capsys, home):
    code, out, _ = said(capsys, "--json")
    record = PlatformStatus.of(json.loads(out), "what was printed")
    assert (code, record.waits) == (0, ())
    names = [one.model for one in record.models]
    assert names == sorted(names) and MODEL in names
    _, text, _ = said(capsys)
    assert all(f"\n   {name}" in text for name in names)
    assert not home.exists()


def test_one_model_is_told_with_all_its_lines_and_links_and_an_unknown_one_with_those_there_are(capsys):
    code, out, _ = said(capsys, "--model", MODEL)
    assert code == 0
    assert out.startswith("1 model, nothing needs hands (")
    assert f"http://127.0.0.1:3000/assets/{MODEL}/performance" in out
    code, _, err = said(capsys, "--model", "nothing")
    assert code == 1
    assert err.startswith("error: model 'nothing' does not exist; there are: ") and MODEL in err


def test_a_use_case_that_does_not_load_stands_on_top_and_fails_who_asks_for_it(capsys, broken):
    code, out, _ = said(capsys)
    assert code == 0
    assert out.splitlines()[1].startswith("! the use case shops does not load:")
    assert "use_case.yaml" in out
    assert said(capsys, "--fail")[0] == 1
    assert MODEL in out
