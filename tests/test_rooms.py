"""The floor plan: rooms use what is below them, no files and no rooms go in circles, names need no second name."""

import ast
from collections.abc import Iterator
from dataclasses import fields

import pytest

from benchmarks.walk import FLOORS
from resources.settings import PROJECT_ROOT
from resources.systems import Systems
from tests.source_files import (
    FILES,
    MODULES,
    OURS,
    below,
    circles,
    inside,
    modules_behind,
    names_given,
    part,
    room,
    tree,
)


def floor(module: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if module.split(".")[1] in rooms)


def test_circles_are_seen_and_chains_are_not():
    chain = {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set[str]()}
    assert circles(chain) == []
    assert circles({**chain, "c": {"d", "a"}, "e": {"f"}, "f": {"e", "a"}}) in (
        [{"e", "f"}, {"a", "b", "c"}],
        [{"a", "b", "c"}, {"e", "f"}],
    )


def test_no_files_import_one_another_in_a_circle():
    """An import inside a function is one too: it puts the circle off, and leaves it a circle."""
    assert circles({name: modules_behind(file) for name, file in MODULES.items()}) == []


def test_no_rooms_import_one_another_in_a_circle():
    """A folder and what lies in it are one room here: a door may stand in front of the rooms that it opens."""
    graph: dict[str, set[str]] = {}
    for name, file in MODULES.items():
        others = {room(other) for other in modules_behind(file)}
        apart = {o for o in others if not below(o, room(name)) and not below(room(name), o)}
        graph.setdefault(room(name), set()).update(apart)
    assert circles(graph) == [{"mlops_assets.project", "mlops_assets.replay"}]


def test_every_room_of_what_exists_has_a_floor():
    rooms = {name.split(".")[1] for name in MODULES if name.startswith("mlops_assets.")}
    assert rooms == {name for rooms in FLOORS for name in rooms}


def test_a_room_imports_only_what_is_below_it():
    upward = {
        (name.split(".")[1], other.split(".")[1])
        for name, file in MODULES.items()
        for other in modules_behind(file)
        if name.startswith("mlops_assets.") and other.startswith("mlops_assets.")
        if floor(other) <= floor(name)
    }
    apart = {pair for pair in upward if len(set(pair)) == 2}
    assert apart == {("project", "replay"), ("replay", "project")}


def test_no_import_of_ours_needs_another_name():
    everywhere = [file for folder in sorted(OURS) for file in (PROJECT_ROOT / folder).rglob("*.py")]
    assert len(everywhere) > len(FILES)
    named = {part(file): found for file in everywhere if (found := list(names_given(file)))}
    assert named == {}


MOST_LINES = 24


def body_lines(factory: ast.FunctionDef) -> int:
    """Lines of a function without its docstring and without what decorates the functions inside it."""
    first = factory.body[1] if ast.get_docstring(factory) else factory.body[0]
    start = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
    inner = [n for n in ast.walk(factory) if isinstance(n, ast.FunctionDef) and n is not factory]
    decorators = [d for function in inner for d in function.decorator_list]
    return (
        (factory.end_lineno or start)
        - start
        + 1
        - sum((d.end_lineno or 0) - d.lineno + 1 for d in decorators)
    )


def test_the_factory_of_an_asset_is_about_twenty_lines_beside_its_decorator():
    factories = {
        f"{part(file)}: {node.name}": body_lines(node)
        for file in inside("mlops_assets/assets/")
        for node in tree(file).body
        if isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or node) == "dg.AssetsDefinition"
    }
    assert len(factories) >= 10
    assert {name: lines for name, lines in factories.items() if lines > MOST_LINES} == {}


MOST_SYSTEMS = 2
SYSTEMS = {one.name for one in fields(Systems)}


def systems_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Systems that a caller hands to a function one by one; not those that Dagster hands to what it calls itself."""
    parameters = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    ours = {one.arg for one in parameters if "ResourceParam" not in ast.unparse(one.annotation or one)}
    return ours & SYSTEMS


def test_what_needs_three_systems_is_handed_them_as_one_value():
    handed = {
        f"{part(file)}: {node.name}": sorted(systems_of(node))
        for file in inside("mlops_assets/")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert any(len(names) == MOST_SYSTEMS for names in handed.values())
    assert {place: names for place, names in handed.items() if len(names) > MOST_SYSTEMS} == {}


PARTICIPLES = {"asked", "found", "kept", "made", "searched", "sent", "told", "wanted"}
FIELDS_OF_FILES = {
    "resources/records/notes.py": {"kept"},
    "resources/features/planned_service.py": {"asked", "wanted"},
}
"""Fields of records that lie in files, where their names are written too."""


def names_bound(code: ast.AST) -> Iterator[str]:
    """Names that code gives to values, parameters, attributes, functions and classes."""
    for node in ast.walk(code):
        match node:
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case ast.arg():
                yield node.arg
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                yield name


def participles(code: ast.AST) -> set[str]:
    """Of the names bound those that are participles, of private ones, classes and constants too."""
    names = {name: name.strip("_").lower() for name in names_bound(code)}
    return {name for name, bare in names.items() if bare in PARTICIPLES or bare.startswith("sent_")}


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "def rows(found): ...",
        "def found(): ...",
        "async def rows(): return [found for found in ()]",
        "class Rows:\n    found: int",
        "self.found = 1",
        "lambda *, found: 1",
        "(found := 1)",
        "match 1:\n    case [*found]: ...",
        "try: ...\nexcept ValueError as found: ...",
    ],
)
def test_a_participle_is_seen_wherever_a_name_is_given(code):
    assert participles(ast.parse(code)) == {"found"}
    assert participles(ast.parse(code.replace("found", "rows_found"))) == set()


def test_values_and_functions_are_not_called_by_what_was_done_to_them():
    named = {part(file): participles(tree(file)) for file in FILES}
    assert {name: names for name, names in named.items() if names} == FIELDS_OF_FILES
