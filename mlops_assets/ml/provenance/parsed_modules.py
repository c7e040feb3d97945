"""A module's parts, kept beside its byte code: a process that loads the definitions parses only what has changed.

To parse all that a project's digests cover takes longer than to import it. What is kept is data and counts for one
source, one version of Python and one version of the parser alone; who may write there may write the byte code too.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any
from uuid import uuid4

from mlops_assets.ml.provenance import code_parts
from mlops_assets.ml.provenance.code_parts import Module, Part, parse

SUFFIX = ".parts.json"


def parsed(name: str, source: str, path: Path) -> Module:
    """The parts of the module in the file `path`, read where they are kept, else parsed and kept.

    Nothing is kept where Python keeps no byte code, or where the folder cannot be written: it is parsed each time.
    """
    place, key = place_of(path), _key(name, source)
    module = _load(place, key)
    if module is None:
        module = parse(name, source)
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                _save(place, key, module)
    return module


def place_of(path: Path) -> Path:
    """Where the parts of a file are kept: beside its byte code, wherever Python was told to put that."""
    return Path(cache_from_source(str(path), optimization="")).with_suffix(SUFFIX)


def _key(name: str, source: str) -> str:
    return hashlib.sha256("\0".join((_parser(), name, source)).encode()).hexdigest()


@cache
def _parser() -> str:
    return sys.version + Path(code_parts.__file__).read_text(encoding="utf-8")


def _load(place: Path, key: str) -> Module | None:
    """What is kept for the key; None where it is for another one, or cannot be read as what was written."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        document = json.loads(place.read_bytes())
        if document["key"] == key:
            return _module(document["module"])
    return None


def _module(document: Mapping[str, Any]) -> Module:
    return Module(
        name=document["name"],
        parts={name: _part(part) for name, part in document["parts"].items()},
        members={name: tuple(own) for name, own in document["members"].items()},
        bases={name: tuple(own) for name, own in document["bases"].items()},
        imported={name: (where, inner) for name, (where, inner) in document["imported"].items()},
    )


def _part(document: Mapping[str, Any]) -> Part:
    sets = {name: frozenset(value) for name, value in document.items() if name != "sha256"}
    return Part(sha256=document["sha256"], **sets)


def _save(place: Path, key: str, module: Module) -> None:
    """Whole or not at all; of two processes that write at once one wins, and both wrote the same."""
    text = json.dumps({"key": key, "module": asdict(module)}, default=sorted)
    place.parent.mkdir(parents=True, exist_ok=True)
    whole = place.with_name(f"{place.name}.{uuid4().hex}")
    try:
        whole.write_text(text, encoding="utf-8")
        whole.replace(place)
    finally:
        whole.unlink(missing_ok=True)
