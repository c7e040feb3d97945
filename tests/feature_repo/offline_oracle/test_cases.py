"""Each case is answered by the polars store as by the oracle, in the order asked."""

from pathlib import Path

import pytest

from tests.feature_repo.offline_oracle.catalogue import CASES, answers
from tests.feature_repo.offline_oracle.outcome import Failed, expected
from tests.feature_repo.offline_oracle.world import OURS


@pytest.mark.parametrize("name", CASES)
def test_the_store_answers_as_the_oracle(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    got = answers(case, tmp_path, {"type": OURS})
    assert not isinstance(got, Failed), f"{case.sentence} {got}"
    assert got == expected(case.world), case.sentence
