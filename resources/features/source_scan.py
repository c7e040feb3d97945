"""What a feature repository's source says, read without importing Feast, which takes six seconds."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
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
    for variable, _ in _chosen(trees, service):
        for source in on_demand.get(variable, [variable]):
            if source in views:
                names[views[source]] = None
    return list(names)


@dataclass(frozen=True)
class WrittenField:
    """A field whose type stands in the source: the view or request source that has it, its name, and Feast's type."""

    owner: str
    name: str
    kind: str


def written_features(service: str, repository: str | None = None) -> list[WrittenField]:
    """The features that a service gives, as far as their types stand in the source; what a helper makes is left out."""
    trees = _trees(repository)
    keys, found = _join_keys(trees), []
    for variable, chosen in _chosen(trees, service):
        for field in _written(trees, variable):
            if field.name not in keys and (chosen is None or field.name in chosen):
                found.append(field)
    return found


def written_inputs(service: str, repository: str | None = None) -> list[WrittenField]:
    """The request columns and join keys by which a service is asked, as far as their types stand in the source."""
    trees = _trees(repository)
    keys, on_demand = _join_keys(trees), dict(_on_demand(trees))
    behind = [
        source for variable, _ in _chosen(trees, service) for source in on_demand.get(variable, [variable])
    ]
    made = _made(trees)
    return [
        field
        for variable in dict.fromkeys(behind)
        for field in _written(trees, variable)
        if field.name in keys or (variable in made and _called(made[variable][1]) == "RequestSource")
    ]


def _chosen(trees: list[ast.Module], service: str) -> Iterator[tuple[str, set[str] | None]]:
    """Variables of a service's views, each with the features that are chosen of it; None for all."""
    for call in _services(trees):
        if _text(call, "name") != service:
            continue
        for element in _elements(call, "features"):
            if isinstance(element, ast.Name):
                yield element.id, None
            elif isinstance(element, ast.Subscript) and isinstance(element.value, ast.Name):
                texts = [n.value for n in ast.walk(element.slice) if isinstance(n, ast.Constant)]
                yield element.value.id, {text for text in texts if isinstance(text, str)}


def _made(trees: list[ast.Module]) -> dict[str, tuple[ast.Module, ast.Call]]:
    """The call that makes what a variable names; of an on-demand view, its decorator."""
    found = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                found |= {t.id: (tree, node.value) for t in node.targets if isinstance(t, ast.Name)}
            elif isinstance(node, ast.FunctionDef):
                for call in (d for d in node.decorator_list if isinstance(d, ast.Call)):
                    if _called(call) == "on_demand_feature_view":
                        found[node.name] = tree, call
    return found


def _written(trees: list[ast.Module], variable: str) -> Iterator[WrittenField]:
    made = _made(trees).get(variable)
    if made is None:
        return
    tree, call = made
    for element in _elements(call, "schema"):
        if isinstance(element, ast.Call) and _called(element) == "Field":
            kind = next((k.value for k in element.keywords if k.arg == "dtype"), None)
            if kind is not None and (name := _text(element, "name")):
                yield WrittenField(
                    _text(call, "name") or variable, name, _type_text(kind, _imported_as(tree))
                )


def _type_text(node: ast.expr, names: dict[str, str]) -> str:
    """A type as Feast prints it, where it stands in the source as such."""
    if isinstance(node, ast.Call):
        inside = ", ".join(_type_text(argument, names) for argument in node.args)
        return f"{_called(node)}({inside})"
    if isinstance(node, ast.Attribute):
        return node.attr
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ast.unparse(node)


def _imported_as(tree: ast.Module) -> dict[str, str]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: alias.name for node in imports for alias in node.names}


def _join_keys(trees: list[ast.Module]) -> set[str]:
    """Columns by which some entity is found: its join keys, or its name where it has none of its own."""
    found: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == "Entity":
                keys = [k for k in _elements(node, "join_keys") if isinstance(k, ast.Constant)]
                found |= {str(k.value) for k in keys} or {_text(node, "name") or ""}
    return found


def _trees(repository: str | None) -> list[ast.Module]:
    spec = find_spec(repository or settings().feature_repository)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.py"))
    return [_parsed(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]


@lru_cache(maxsize=256)
def _parsed(path: Path, changed: int, size: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _services(trees: list[ast.Module]) -> Iterator[ast.Call]:
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == "FeatureService":
                yield node


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


def _elements(call: ast.Call, keyword: str) -> Iterator[ast.expr]:
    for value in (k.value for k in call.keywords if k.arg == keyword):
        yield from value.elts if isinstance(value, ast.List) else []


def _variables(call: ast.Call, keyword: str) -> Iterator[str]:
    for element in _elements(call, keyword):
        inner = element.value if isinstance(element, ast.Subscript) else element
        if isinstance(inner, ast.Name):
            yield inner.id
