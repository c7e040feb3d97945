"""A module's source as the parts that code is told apart by: functions, constants, classes, their methods and fields.

A part says what it names, which attributes it asks of objects, and of which classes its parameters and results are.
"""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

RUNS = "(statements)"
Function = ast.FunctionDef | ast.AsyncFunctionDef
WORDS = ("description", "examples", "title")
"""What a `Field` of pydantic is told for people alone."""


@dataclass(frozen=True)
class Part:
    """One part: the hash of its normalised text, plain names (`name` or `alias.name`), attributes, and names of classes.

    `stands_for` are the classes that an alias of types names.
    """

    sha256: str
    uses: frozenset[str]
    asks: frozenset[str]
    types: frozenset[str]
    stands_for: frozenset[str]


@dataclass(frozen=True)
class Module:
    """A parsed module: its parts, the members and bases of its classes, and where imported names come from."""

    name: str
    parts: dict[str, Part]
    members: dict[str, tuple[str, ...]]
    """Class -> its methods and fields, which are parts of their own, called `Class.member`."""

    bases: dict[str, tuple[str, ...]]

    imported: dict[str, tuple[str, str | None]]
    """Name -> the module it comes from and its name there; None for the module itself."""


def parse(name: str, source: str) -> Module:
    """The module's parts; imports inside functions count as the module's own."""
    tree = ast.parse(source)
    imported = dict(_imports(tree, name))
    pieces: dict[str, list[ast.stmt]] = {}
    members: dict[str, tuple[str, ...]] = {}
    bases: dict[str, tuple[str, ...]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or _is_text(statement):
            continue
        if isinstance(statement, ast.ClassDef):
            own = _taken_out(statement)
            members[statement.name] = tuple(own)
            bases[statement.name] = tuple(name for base in statement.bases for name in _named(base))
            pieces |= {f"{statement.name}.{member}": piece for member, piece in own.items()}
        for target in _names(statement) or [RUNS]:
            pieces.setdefault(target, []).append(statement)
    return Module(name, {name: _part(piece) for name, piece in pieces.items()}, members, bases, imported)


def _part(statements: list[ast.stmt]) -> Part:
    types = frozenset(name for s in statements for name in _types(s))
    aliases = [s.value for s in statements if isinstance(s, ast.Assign)]
    stands_for = frozenset(name for value in aliases for name in _named(value))
    for statement in statements:
        _Plain().visit(statement)
    text = "\n".join(ast.dump(statement) for statement in statements)
    uses, asks = _mentioned(statements)
    return Part(hashlib.sha256(text.encode()).hexdigest(), uses, asks, types, stands_for)


def _taken_out(cls: ast.ClassDef) -> dict[str, list[ast.stmt]]:
    """What counts where an object is asked for it by name: methods, fields and constants; the class keeps the rest."""
    own: dict[str, list[ast.stmt]] = {}
    statements = []
    for statement in cls.body:
        names = [] if isinstance(statement, ast.ClassDef) else _names(statement)
        for name in names:
            own.setdefault(name, []).append(statement)
        statements += [] if names else [statement]
    cls.body = statements
    return own


def _last(name: ast.expr) -> str:
    if isinstance(name, ast.Attribute):
        return name.attr
    return name.id if isinstance(name, ast.Name) else ""


def _names(statement: ast.stmt) -> list[str]:
    """The top-level names that a statement defines."""
    if isinstance(statement, Function | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _mentioned(statements: list[ast.stmt]) -> tuple[frozenset[str], frozenset[str]]:
    """Names, one with an attribute as `name.attribute` because it may be a module; and all attributes."""
    uses, asks, passed = set(), set(), set()
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.AnnAssign):
            passed |= {id(inner) for inner in ast.walk(node.annotation)}
        if isinstance(node, ast.Attribute):
            asks.add(node.attr)
        if id(node) in passed:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            passed.add(id(node.value))
            uses.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Name):
            uses.add(node.id)
    return frozenset(uses), frozenset(asks)


def _types(statement: ast.stmt) -> Iterator[str]:
    """Names in annotations: of parameters and results, and of variables and the fields of a class."""
    for node in ast.walk(statement):
        if isinstance(node, Function):
            yield from _named(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            yield from _named(node.annotation)


def _named(annotation: ast.AST | None) -> Iterator[str]:
    """Names of types, also those in quotes; none of a Literal, and none of what is called, as validators are."""
    match annotation:
        case ast.Name():
            yield annotation.id
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            yield f"{module}.{name}"
        case ast.Constant(value=str(text)):
            yield from _in_quotes(text)
        case ast.Subscript() if _last(annotation.value) == "Literal":
            return
        case ast.Subscript() | ast.BinOp() | ast.Tuple() | ast.List():
            for inner in ast.iter_child_nodes(annotation):
                yield from _named(inner)


def _in_quotes(text: str) -> Iterator[str]:
    with suppress(SyntaxError):
        yield from _named(ast.parse(text, mode="eval").body)


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

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _last(node.func) == "Field":
            node.keywords = [given for given in node.keywords if given.arg not in WORDS]
        return self.generic_visit(node)

    def _body(self, node: "ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef") -> ast.AST:
        node.body = [s for s in node.body if not _is_text(s)] or [ast.Pass()]
        return self.generic_visit(node)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone: a docstring, or words under a constant."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
