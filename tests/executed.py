"""Which functions of the project a piece of work runs, told by the interpreter."""

import ast
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("mlops_assets", "resources", "feature_repo")


def executed(work: Callable[[], Any]) -> set[str]:
    """The functions and methods that ran, as `package.module:name` or `package.module:Class.method`; those inside
    others count as the outer ones."""
    lines: set[tuple[str, int]] = set()

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            lines.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    before = sys.getprofile()
    threading.setprofile(seen)
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return {name for file, line in lines if (name := _named(file, line))}


def _named(file: str, line: int) -> str | None:
    path = Path(file)
    if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PACKAGES:
        return None
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    found = next((name for name, first, last in _functions(path) if first <= line <= last), None)
    return f"{module}:{found}" if found else None


@cache
def _functions(path: Path) -> list[tuple[str, int, int]]:
    """Functions at the top of a module and methods of its classes, with their first and last lines."""
    found = []
    for node in ast.parse(path.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        above = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in inside:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([one.lineno, *(d.lineno for d in one.decorator_list)])
                found.append((f"{above}{one.name}", first, one.end_lineno or first))
    return found
