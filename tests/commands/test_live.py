"""`mlops live` refuses what it cannot live before it starts anything; `tests/acceptance/test_live_shop.py` lives."""

import pytest

from mlops_assets.cli import main


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--plant", "drift"], "give one --on DAY for each --plant"),
        (["--plant", "drift", "--on", "2012-01-01"], "in no partition that is lived"),
        (["--from", "2013-02-26"], "no such partition"),
        (["purchases"], "lies in the project"),
        (["--partitions", "0"], "1 or more"),
    ],
)
def test_what_cannot_be_lived_is_refused_with_value_rule_and_fix(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    assert main(["live", *words]) == 1
    assert says in capsys.readouterr().err
