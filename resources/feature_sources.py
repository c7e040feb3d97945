"""What a feature repository's source says, read without importing Feast, which takes six seconds."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from resources.settings import settings

OTHERS = {"Entity", "FeatureService", "RequestSource", "FileSource", "PushSource", "timedelta"}


def service_names(repository: str | None = None) -> list[str]:
    """Names of the feature services that a repository defines."""
    return sorted(name for call in _services(_trees(repository)) if (name := _text(call, "name")))


def service_views(service: str, repository: str | None = None) -> list[str]:
    """Names of the feature views that a service reads, those behind its on-demand views too, in its order."""
    trees = _trees(repository)
    views = dict(_named_objects(trees))
    on_demand = dict(_on_demand(trees))
    names: dict[str, None] = {}
    for variable in _members(trees, service):
        for source in on_demand.get(variable, [variable]):
            if source in views:
                names[views[source]] = None
    return list(names)


def _trees(repository: str | None) -> list[ast.Module]:
    spec = find_spec(repository or settings().feature_repository)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.py"))
    return [ast.parse(path.read_text(encoding="utf-8")) for path in files]


def _services(trees: list[ast.Module]) -> Iterator[ast.Call]:
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == "FeatureService":
                yield node


def _members(trees: list[ast.Module], service: str) -> Iterator[str]:
    for call in _services(trees):
        if _text(call, "name") == service:
            yield from _variables(call, "features")


def _named_objects(trees: list[ast.Module]) -> Iterator[tuple[str, str]]:
    """Variable and name of whatever is made as a view: `x = FeatureView(name="x")`, or through a helper, `view("x")`."""
    for tree in trees:
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and _called(node.value) not in OTHERS
            ):
                for target in node.targets:
                    if isinstance(target, ast.Name) and (name := _text(node.value, "name")):
                        yield target.id, name


def _on_demand(trees: list[ast.Module]) -> Iterator[tuple[str, list[str]]]:
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for call in (d for d in node.decorator_list if isinstance(d, ast.Call)):
                    if _called(call) == "on_demand_feature_view":
                        yield node.name, list(_variables(call, "sources"))


def _called(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)


def _text(call: ast.Call, keyword: str) -> str | None:
    values = [*(k.value for k in call.keywords if k.arg == keyword), *call.args[:1]]
    return next((v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)), None)


def _variables(call: ast.Call, keyword: str) -> Iterator[str]:
    for value in (k.value for k in call.keywords if k.arg == keyword):
        for element in value.elts if isinstance(value, ast.List) else []:
            inner = element.value if isinstance(element, ast.Subscript) else element
            if isinstance(inner, ast.Name):
                yield inner.id
