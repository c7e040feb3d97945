"""The list of mutants stays true while the product changes: each expression is there once, and each test exists."""

import ast

import pytest

from resources.settings import PROJECT_ROOT
from tests.mutants.listed import MUTANTS
from tests.mutants.mutant import Mutant, MutantError
from tests.mutants.page import PAGE, with_table
from tests.mutants.trial import Scratch

AREAS = {
    *("gate", "split", "labels", "alias", "publish", "audit", "fingerprint", "identity", "drift", "join"),
    *("online store", "policy", "resume", "cost", "storage", "alerts"),
}
SOURCE = """
def first(x):
    return x + 1  # one more

class Inner:
    def second(self, x):
        längs = "ä" + f"{x}"; return (x  +
            1) * 2
"""


def mutant(where: str, expression: str = "x + 1", instead: str = "x - 1", test: str = "") -> Mutant:
    return Mutant("gate", "counts down", where, expression, instead, test)


def test_every_area_is_mutated_and_no_mutant_is_there_twice():
    assert {one.area for one in MUTANTS} == AREAS
    assert len({(one.where, one.expression, one.instead) for one in MUTANTS}) == len(MUTANTS) >= 60


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_each_finds_its_expression_once_and_its_test_exists(one):
    source = (PROJECT_ROOT / one.path).read_text()
    assert ast.dump(ast.parse(one.apply(source))) != ast.dump(ast.parse(source))
    file, _, test = one.test.partition("::")
    functions = {
        node.name
        for node in ast.parse((PROJECT_ROOT / file).read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert test.partition("[")[0] in functions


def test_the_page_has_the_table_of_the_list():
    assert with_table(PAGE.read_text()) == PAGE.read_text()


def test_a_mutation_changes_one_expression_of_one_function_and_nothing_else():
    assert mutant("m:first").apply(SOURCE) == SOURCE.replace("return x + 1", "return (x - 1)")
    assert mutant("m:Inner.second", "(x + 1) * 2", "0").apply(SOURCE) == SOURCE.replace(
        "(x  +\n            1) * 2", "(0)"
    )
    assert mutant("m:Inner.second", "return (x + 1) * 2", "pass").apply(SOURCE).endswith("; pass\n")


@pytest.mark.parametrize(
    ("where", "expression", "message"),
    [
        ("m:first", "x + 2", "0 times"),
        ("m", "x + 1", "2 times"),
        ("m:third", "x", "has 0 functions or classes 'third'"),
    ],
)
def test_an_expression_that_is_not_there_or_more_than_once_is_refused(where, expression, message):
    with pytest.raises(MutantError, match=message):
        mutant(where, expression).apply(SOURCE)


def test_an_expression_that_is_gone_is_told_and_ends_nothing(scratch):
    outcome = scratch.try_mutant(mutant("shop:total", "x + 2", test="test_shop.py::test_it_notices"))
    assert outcome.verdict == "broken" and "0 times" in outcome.message


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Scratch:
    """A small project of one function, with a test that notices a change of it, and three that do not."""
    project = tmp_path_factory.mktemp("project")
    (project / "shop.py").write_text("def total(x):\n    return x + 1\n")
    (project / "conftest.py").write_text(
        "from hypothesis import settings\nsettings.register_profile('mutants')\n"
    )
    alone = "--disable-plugin-autoload -p _hypothesis_pytestplugin"
    (project / "pytest.ini").write_text(f"[pytest]\naddopts = {alone}\n")
    tests = {"notices": "assert shop.total(1) == 2", "sleeps": "pass", "stumbles": "shop.total(1)"}
    functions = [f"def test_it_{name}():\n    {body}\n" for name, body in tests.items()]
    (project / "test_shop.py").write_text("import shop\n" + "".join(functions))
    return Scratch(project, tmp_path_factory.mktemp("scratch"))


@pytest.mark.parametrize(
    ("instead", "test", "verdict"),
    [
        ("x - 1", "test_it_notices", "red"),
        ("x - 1", "test_it_sleeps", "green"),
        ("y + 1", "test_it_stumbles", "crash"),
        ("x - 1", "test_it_is_not_there", "broken"),
    ],
)
def test_only_a_test_that_fails_by_what_it_found_has_noticed(scratch, instead, test, verdict):
    outcome = scratch.try_mutant(mutant("shop:total", instead=instead, test=f"test_shop.py::{test}"))
    assert outcome.verdict == verdict, outcome.message
    assert (scratch.tree / "shop.py").read_text() == "def total(x):\n    return x + 1\n"
    assert scratch.run("test_shop.py::test_it_notices").verdict == "green"
