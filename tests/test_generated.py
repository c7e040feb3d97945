"""Generated cases are the same whatever the process has loaded before."""

import sys

import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.conjecture.providers import HypothesisProvider
from hypothesis.internal.constants_ast import Constants

from resources import settings
from tests import generated

KINDS = ("integer", "float", "bytes", "string")


def drawn_from() -> int:
    """Of how many constants of loaded modules of ours a case could be made."""
    constants = HypothesisProvider(None)._local_constants
    return sum(len(constants.set_for_type(kind)) for kind in KINDS)


@pytest.fixture(autouse=True)
def as_loaded(monkeypatch):
    """Hypothesis as it is in a process that has loaded one module of ours, and afterwards as it was."""
    others = {id(module) for module in sys.modules.values()} - {id(settings)}
    monkeypatch.setattr(providers, "_get_local_constants", generated.ITS_OWN)
    monkeypatch.setattr(providers, "_local_constants", Constants())
    monkeypatch.setattr(providers, "_sys_modules_len", None)
    monkeypatch.setattr(providers, "_seen_modules", others)


def test_no_case_is_made_of_what_is_loaded():
    generated.draw_from_nothing_loaded()
    assert drawn_from() == 0


def test_left_to_itself_hypothesis_makes_cases_of_what_is_loaded():
    assert drawn_from() > 0
