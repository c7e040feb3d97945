"""A digest of code that says the same as long as the code does the same: comments, docstrings and layout left out.

It covers a function or a class and, transitively, whatever of the project it names: constants, helpers, bases, also
in other modules. What is looked up at run time (`getattr`, `import_module`) is not seen and must be named beside it.
Of the libraries that compute, their versions count. Sources are parsed, never imported or run.
"""

import ast
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ReadSource = Callable[[str], str | None]
"""Module name -> its source text, None for a module that is not the project's."""

PROJECT = ("mlops_assets", "feature_repo")
COMPUTES = {
    "xgboost": ("xgboost-cpu", "xgboost"),
    "sklearn": ("scikit-learn",),
    **{name: (name,) for name in ("polars", "numpy", "scipy", "pandas", "pyarrow")},
    **{name: (name,) for name in ("feast", "lightgbm", "torch", "evidently")},
}
"""Libraries whose version may change what comes out, and the names they are installed under."""


class CodeDigestError(Exception):
    """Code that is to be digested cannot be found under its name."""


def code_digest(roots: Sequence[str], read: ReadSource | None = None) -> str:
    """SHA-256 of the code behind `package.module:name` (or `package.module`, all of it), and of all it uses.

    Raises CodeDigestError for a root that does not exist.
    """
    if read is None:
        return _of_the_project(tuple(sorted(set(roots))))
    return _digest(tuple(sorted(set(roots))), read)


def project_source(module: str, packages: Sequence[str] = PROJECT) -> str | None:
    """The source of one of the project's modules, found beside its package without importing it."""
    path = _path(module) if module.split(".")[0] in packages else None
    return path.read_text(encoding="utf-8") if path else None


def normalised(node: ast.AST) -> str:
    """A syntax tree as text, without positions, docstrings and the annotations of functions, which are taken out."""
    return ast.dump(_Plain().visit(node))


@cache
def _of_the_project(roots: tuple[str, ...]) -> str:
    packages = (*PROJECT, *(root.split(".")[0].split(":")[0] for root in roots))

    def read(module: str) -> str | None:
        return project_source(module, packages)

    return _digest(roots, read, _parsed)


def _digest(
    roots: Sequence[str], read: ReadSource, parse: "Callable[[str, str], Module] | None" = None
) -> str:
    walk = _Walk(read, parse or _parse)
    for root in roots:
        module, _, name = root.partition(":")
        walk.follow(module, name or None, root)
    lines = sorted(walk.parts | {f"{name}=={_version(name)}" for name in walk.libraries & COMPUTES.keys()})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Module:
    """A parsed module: what each top-level name is made of, where imported names come from, and what just runs."""

    name: str
    text: dict[str, str]
    uses: dict[str, frozenset[str]]
    imported: dict[str, tuple[str, str | None]]
    """Name -> the module it comes from and its name there; None for the module itself."""


RUNS = "(statements)"


@dataclass
class _Walk:
    read: ReadSource
    parse: "Callable[[str, str], Module]"
    parts: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _modules: dict[str, Module | None] = field(default_factory=dict)

    def follow(self, module: str, name: str | None, root: str = "") -> None:
        """Take in one name of a module, or all of it, and what that uses."""
        found = self._module(module)
        if found is None:
            if root:
                raise CodeDigestError(f"{root}: there is no module {module} among the project's")
            self.libraries.add(module.split(".")[0])
            return
        if name is not None and name not in {*found.text, *found.imported}:
            if self._module(f"{module}.{name}") is not None:
                self.follow(f"{module}.{name}", None)
            elif root:
                raise CodeDigestError(f"{root}: the module {module} has no {name!r}")
            return
        for wanted in [*found.text] if name is None else [name, RUNS]:
            self._take(found, wanted)

    def _take(self, module: Module, name: str) -> None:
        if (module.name, name) in self._seen:
            return
        self._seen.add((module.name, name))
        if name in module.text:
            self.parts.add(f"{module.name}:{name} {module.text[name]}")
            for used in sorted(module.uses[name]):
                self._use(module, used)
        elif name in module.imported:
            self.follow(*module.imported[name])

    def _use(self, module: Module, used: str) -> None:
        """`name`, or `alias.name` where the alias is an imported module."""
        first, _, rest = used.partition(".")
        if first in module.text:
            self._take(module, first)
        elif first in module.imported:
            where, name = module.imported[first]
            inner = f"{where}.{name}" if name else where
            if self._module(where) is None:
                self.parts.add(f"{module.name}:{first} is {inner}")
            if rest and self._module(inner) is not None:
                self.follow(inner, rest.split(".")[0])
            else:
                self.follow(where, name)

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            source = self.read(name)
            self._modules[name] = None if source is None else self.parse(name, source)
        return self._modules[name]


@cache
def _parsed(name: str, source: str) -> Module:
    return _parse(name, source)


def _parse(name: str, source: str) -> Module:
    """The module's parts; imports inside functions count as the module's own."""
    tree = ast.parse(source)
    pieces: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_text(statement):
            for target in _names(statement) or [RUNS]:
                pieces.setdefault(target, []).append(statement)
    imported = dict(_imports(tree, name))
    text = {piece: "\n".join(normalised(s) for s in found) for piece, found in pieces.items()}
    uses = {piece: frozenset(u for s in found for u in _uses(s)) for piece, found in pieces.items()}
    return Module(name, text, uses, imported)


def _names(statement: ast.stmt) -> list[str]:
    """The top-level names that a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _uses(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement mentions; one with an attribute as `name.attribute`, because it may be a module."""
    owners = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owners.add(id(node.value))
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Name) and id(node) not in owners:
            yield node.id


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[str, tuple[str, str | None]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0], (alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(module.split(".")[: -node.level]) if node.level else ""
            where = ".".join(filter(None, [package, node.module]))
            for alias in node.names:
                yield alias.asname or alias.name, (where, alias.name)


class _Plain(ast.NodeTransformer):
    """Takes out what does not change what code does."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._body(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def _body(self, node: "ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef") -> ast.AST:
        node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
        return self.generic_visit(node)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone: a docstring, or words under a constant."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


@cache
def _path(module: str) -> Path | None:
    package, *inner = module.split(".")
    found = find_spec(package)
    for place in (found.submodule_search_locations or ()) if found else ():
        folder = Path(place, *inner)
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                return path
    if found and found.origin and not inner and not found.submodule_search_locations:
        return Path(found.origin)
    return None


@cache
def _version(library: str) -> str:
    for name in COMPUTES[library]:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "not installed"
