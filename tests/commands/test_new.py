"""`mlops new`: what it writes is found, fits, and is said again only under another name."""

import os
from pathlib import Path

import pytest

from mlops_assets.cli import main
from mlops_assets.spec.files import read_use_case, specs_in, table_specs_in
from resources.use_case_folders import VARIABLE, use_case_folder


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlops_home: Path) -> Path:
    assert main(["new", "use-case", "shop", "--in", str(tmp_path)]) == 0
    monkeypatch.setenv(VARIABLE, str(tmp_path / "shop"))
    return tmp_path / "shop"


def test_a_new_use_case_fits_as_it_stands(shop, capsys):
    assert main(["check", "shop"]) == 0
    said = capsys.readouterr().out
    assert "ok    shop: 3 tables, 1 model; daily from 2024-01-01" in said
    assert said.endswith("everything fits\n")


def test_every_field_of_the_skeleton_that_is_not_plain_has_a_comment(shop):
    for file in ("use_case.yaml", "defs.yaml"):
        assert (shop / file).read_text().count("#") >= 4
    assert len((shop / "defs.yaml").read_text().splitlines()) + 10 < 60


def test_a_table_and_a_model_are_added_and_fit(shop, capsys):
    assert main(["new", "table", "regions", "--use-case", "shop"]) == 0
    assert main(["new", "model", "second", "--use-case", "shop"]) == 0
    assert main(["check", "shop"]) == 0, capsys.readouterr().out
    folder = use_case_folder("shop")
    assert {one.name for one in table_specs_in(folder)} == {"orders", "shops", "regions"}
    second = next(one for one in specs_in(folder) if one.name == "second")
    assert second.label.column == "sent_back"
    assert second.owner == read_use_case(folder).owner


def test_nothing_is_written_over(shop, tmp_path, capsys):
    before = (shop / "defs.yaml").read_text()
    assert main(["new", "use-case", "shop", "--in", str(tmp_path)]) == 1
    assert f"{shop / 'use_case.yaml'} is there already" in capsys.readouterr().err
    assert (shop / "defs.yaml").read_text() == before


@pytest.mark.parametrize("name", ["Shop", "2nd", "a-b", "a/b", ".."])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, capsys, name, mlops_home):
    assert main(["new", "use-case", name, "--in", str(tmp_path)]) == 1
    assert f"{name!r} is no name: give lower-case letters" in capsys.readouterr().err
    assert os.listdir(tmp_path) in ([], ["home"], ["mlops"])  # noqa: PTH208


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--table", "shops", "declares no table 'shops' that is cut by time; there are: orders"),
        ("--label", "amount", "has no column 'amount' to predict; there are: sent_back"),
        ("--use-case", "shops", "use case 'shops' does not exist; there are: flights, purchases, shop"),
    ],
)
def test_what_a_model_cannot_be_made_of_is_named(shop, capsys, option, value, said):
    assert main(["new", "model", "second", "--use-case", "shop", option, value]) == 1
    assert said in capsys.readouterr().err
