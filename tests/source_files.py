"""The source files of the packages, read as text: who imports whom, and by which names."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from resources.settings import PROJECT_ROOT

PACKAGES = ("mlops_assets", "resources", "feature_repo")
LIFTABLE = ("feature_repo/offline_store/", "feature_repo/online_store/")
"""Folders that work in another Feast repository as they are: inside they import relatively and nothing of ours."""

OURS = {*PACKAGES, "benchmarks", "docs", "tests"}
FILES = sorted(file for package in PACKAGES for file in (PROJECT_ROOT / package).rglob("*.py"))


def part(file: Path) -> str:
    return file.relative_to(PROJECT_ROOT).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imports(file: Path, module_level: bool = False) -> list[str]:
    """Dotted names of what a file imports, `from a import b` as `a.b`; also inside functions unless told otherwise."""
    return list(_imports(file, module_level))


def _imports(file: Path, module_level: bool) -> Iterator[str]:
    nodes = _top(tree(file)) if module_level else ast.walk(tree(file))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            liftable = part(file).startswith(LIFTABLE)
            assert node.level == 0 or (liftable and node.level <= 2), f"{part(file)} imports relatively"
            module = ".".join([*_package(file, node.level), node.module or ""]) if node.level else node.module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _package(file: Path, level: int) -> tuple[str, ...]:
    parts = file.relative_to(PROJECT_ROOT).parent.parts
    return parts[: len(parts) + 1 - level]


def _top(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported; what only a type checker reads is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _top(child)


def below(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offenders(files: list[Path], *forbidden: str, module_level: bool = False) -> list[str]:
    return [
        f"{part(file)} imports {name}"
        for file in files
        for name in imports(file, module_level)
        if below(name, *forbidden)
    ]


def inside(*places: str) -> list[Path]:
    return [file for file in FILES if part(file).startswith(places)]


MODULES = {
    ".".join(file.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in FILES
}


def modules_behind(file: Path) -> set[str]:
    """Our modules that a file imports, inside functions too."""
    names = {name if name in MODULES else name.rpartition(".")[0] for name in imports(file)}
    return {name for name in names if name in MODULES and MODULES[name] != file}


def room(module: str) -> str:
    """The folder that a module lies in; one that lies at the top of a package is a room of its own."""
    parts = MODULES[module].relative_to(PROJECT_ROOT).parent.parts
    return ".".join(parts) if len(parts) > 1 else module


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Groups of nodes that reach one another, by Kosaraju's two walks."""
    ended: dict[str, None] = {}

    def walk(node: str, edges: Mapping[str, set[str]], seen: dict[str, None], of: set[str]) -> None:
        stack = [(node, iter(sorted(edges.get(node, ()))))]
        of.add(node)
        while stack:
            top, rest = stack[-1]
            if (step := next((n for n in rest if n not in of), None)) is None:
                stack.pop()
                seen.setdefault(top)
            else:
                of.add(step)
                stack.append((step, iter(sorted(edges.get(step, ())))))

    reached: set[str] = set()
    for node in graph:
        if node not in reached:
            walk(node, graph, ended, reached)
    back: dict[str, set[str]] = {}
    for node, behind in graph.items():
        for other in behind:
            back.setdefault(other, set()).add(node)
    groups, grouped = [], set[str]()
    for node in reversed(ended):
        if node not in grouped:
            group: dict[str, None] = {}
            walk(node, back, group, grouped)
            groups.append(set(group))
    return [group for group in groups if len(group) > 1]


def names_given(file: Path) -> Iterator[str]:
    """Imports of ours that a file calls by a name of its own."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            ours = getattr(node, "level", 0) or below((module or node.names[0].name), *OURS)
            yield from (f"{alias.name} as {alias.asname}" for alias in node.names if ours and alias.asname)
