"""A champion or an anchor is judged as a fit that has not seen the held-out days, or not at all."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.judging.anchor import Unjudged
from mlops_assets.stages.judging import anchor_on_trial
from mlops_assets.stages.opponents import Anchor, fair, unseen
from resources.tracking.tracking import Version
from tests.pumps.project import SPEC

START = datetime(2020, 3, 1, tzinfo=UTC)
DAYS = st.one_of(st.none(), st.integers(-30, 30))


def version(number: int, days: int | None, challenger: int | None = None) -> Version:
    until = None if days is None else START + timedelta(days=days)
    tags = {} if challenger is None else {"challenger": str(challenger)}
    return Version("late_parcel", number, str(number), "run", "sha", tags, until)


@given(refit=DAYS, challenger=DAYS, registered=st.booleans())
def test_the_fit_is_the_version_or_its_challenger_whichever_has_not_seen_the_days(
    refit, challenger, registered
):
    champion, stand_in = version(2, refit, challenger=1), version(1, challenger)
    versions = {2: champion} | ({1: stand_in} if registered else {})
    found = fair(champion, versions, START)
    expected = None
    if registered and challenger is not None and challenger <= 0:
        expected = stand_in
    if refit is not None and refit <= 0:
        expected = champion
    assert found == expected


def test_a_version_that_does_not_say_what_it_has_seen_is_no_fair_opponent():
    assert not unseen(version(1, None), START)
    assert fair(version(1, None), {}, START) is None


def test_an_anchor_whose_bytes_are_no_model_is_not_judged_and_says_why():
    found = anchor_on_trial(SPEC, Anchor(1, version(1, -1), b"no model"))
    assert isinstance(found, Unjudged) and found.why.startswith("cannot be loaded (a file that begins with")
    assert anchor_on_trial(SPEC, Anchor(1, why="is gone")) == Unjudged("version 1", "is gone")
    assert anchor_on_trial(SPEC, None) is None
