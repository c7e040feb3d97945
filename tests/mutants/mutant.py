"""One mutation: an expression of one function, what stands there instead, and the test that must turn red."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class MutantError(Exception):
    """A mutant whose expression is not where it says, or is there more than once."""


@dataclass(frozen=True)
class Mutant:
    """What is changed (`expression` in `where`, a dotted module, a colon and a function), and which test must notice.

    `claim` says in words what the mutated product does wrong. A function may be left out: then the expression stands
    anywhere in the module. An expression that `ast` writes alike is the same one, so layout does not matter.
    """

    area: str
    claim: str
    where: str
    expression: str
    instead: str
    test: str

    @property
    def path(self) -> Path:
        """The module's file, below the root of the tree."""
        return Path(*self.where.partition(":")[0].split(".")).with_suffix(".py")

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.where} {self.expression}"

    def apply(self, source: str) -> str:
        """The module's source with the mutation in it; everything else, comments too, stays as it is.

        Raises MutantError unless the expression is there exactly once.
        """
        places = sorted({_span(node) for node in ast.walk(self._body(source)) if self._matches(node)})
        if len(places) != 1:
            raise MutantError(
                f"{self.where} has {self.expression!r} {len(places)} times, it must be there once"
            )
        start, end = places[0]
        content, lines = source.encode(), [0]
        for line in content.splitlines(keepends=True):
            lines.append(lines[-1] + len(line))
        first, last = (lines[row - 1] + column for row, column in (start, end))
        mutated = (content[:first] + self._replacement().encode() + content[last:]).decode()
        ast.parse(mutated)
        return mutated

    def _body(self, source: str) -> ast.AST:
        node: ast.AST = ast.parse(source)
        for name in filter(None, self.where.partition(":")[2].split(".")):
            inner = [one for one in _inner(node) if one.name == name]
            if len(inner) != 1:
                raise MutantError(f"{self.where}: {self.path} has {len(inner)} functions or classes {name!r}")
            node = inner[0]
        return node

    def _matches(self, node: ast.AST) -> bool:
        return isinstance(node, ast.expr | ast.stmt) and ast.unparse(node) == _canonical(self.expression)

    def _replacement(self) -> str:
        """In brackets, so that it is one expression wherever it stands; a statement as it is."""
        instead = ast.parse(self.instead).body[0]
        return f"({self.instead})" if isinstance(instead, ast.Expr) else self.instead


def _inner(node: ast.AST) -> Iterator[Functions]:
    """The functions and classes of a scope, not those inside of them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Functions):
            yield child
        else:
            yield from _inner(child)


def _canonical(code: str) -> str:
    return ast.unparse(ast.parse(code).body[0])


def _span(node: ast.AST) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last place as line (from 1) and byte in it (from 0)."""
    assert isinstance(node, ast.expr | ast.stmt) and node.end_lineno and node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
