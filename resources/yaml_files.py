"""YAML that says one thing: a key given twice, or a word that two versions of YAML read differently, is refused.

PyYAML keeps the last of two equal keys and reads YAML 1.1: `no` is false there, `012` is ten and `12:30` is 750.
"""

import re
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import pydantic
import yaml

from resources.addresses import shown

MERGE, TIMESTAMP = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp"
BOOL, INT, FLOAT, STR = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "str"))
DECIMAL = re.compile(r"[-+]?[0-9]+")
WHOLE = re.compile(rf"{DECIMAL.pattern}|0o[0-7]+|0x[0-9a-fA-F]+")
"""Whole numbers of YAML 1.2."""

Place = tuple[str | int, ...]
"""The keys, and places in lists, that lead to something."""


class YamlError(ValueError):
    """YAML that cannot be read, or could be read in two ways; says file and line."""


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, by which a date stays the text that it is."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str, file: str | Path) -> Any:
    """The value of one YAML document, None for an empty one. Raises YamlError."""
    documents = read_all(text, file)
    if len(documents) > 1:
        raise YamlError(f"{file}: holds {len(documents)} documents: keep one")
    return documents[0] if documents else None


def read_all(text: str, file: str | Path, words: frozenset[Place] = frozenset()) -> list[Any]:
    """The values of all documents. Raises YamlError; at the places in `words` a bare `on` is the word itself."""
    loader, documents = Loader(text), []
    try:
        while loader.check_node():
            node: Any = loader.get_node()
            _refuse(loader, node, file, words)
            documents.append(loader.construct_document(node))
    except yaml.YAMLError as error:
        raise _unreadable(error, file) from error
    finally:
        loader.dispose()
    return documents


def lines(text: str) -> dict[Place, int]:
    """The line, from 1, of every key and item of the first document, by the keys and places that lead to it."""
    return next(lines_of_all(text))


def lines_of_all(text: str) -> Iterator[dict[Place, int]]:
    """The same of each document."""
    for node in yaml.compose_all(text, Loader=Loader):
        lines_by_place: dict[Place, int] = {}
        for place, line, _ in _walk(node, (), set()) if node else ():
            lines_by_place.setdefault(place, line)  # the key comes before its value
        yield lines_by_place


def complaint(error: pydantic.ValidationError, text: str, file: str | Path, content: Any = None) -> str:
    """The first complaint about a document, with the line of the field: where its place is cut short, the one that fits.

    `content` is what was made of the text, where that is not what stands there.
    """
    first, known, content = error.errors()[0], lines(text), content or read_yaml(text, file)
    field = first["loc"]
    places = [p for p in known if p[-len(field) :] == field and _at(content, p) == first["input"]]
    place = min(places, key=len, default=())
    return f"{file}:{known[place]}: {_named(place or field)}: {first['msg']}; it is {shown(repr(first['input']))}"


def told_below(
    error: pydantic.ValidationError, known: Mapping[Place, int], file: str | Path, below: Place
) -> str:
    """The first complaint about a part of a document, with the line of the field, or of the nearest above it that is written.

    `known` are the document's lines and `below` the part's place in it. What stands in a complaint's place and in no
    document, the name of a kind that was chosen, is passed over.
    """
    first, place = error.errors()[0], below
    for part in first["loc"]:
        place = (*place, part) if (*place, part) in known else place
    line = next(known[place[:end]] for end in range(len(place), -1, -1) if place[:end] in known)
    field = first["loc"] or below
    return f"{file}:{line}: {_named(field)}: {first['msg']}; it is {shown(repr(first['input']))}"


def _at(content: Any, place: Place) -> Any:
    return reduce(lambda inner, key: inner[key], place, content)


def _refuse(loader: Loader, root: yaml.Node, file: str | Path, words: frozenset[Place]) -> None:
    for place, _, node in _walk(root, (), set()):
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(loader, node, place, file)
        elif isinstance(node, yaml.ScalarNode) and not (place in words and node.value == "on"):
            _refuse_surprise(loader, node, place, file)


def _refuse_twice(loader: Loader, mapping: yaml.MappingNode, place: Place, file: str | Path) -> None:
    """A merge key may be overridden, as YAML means it; it may not be there twice either."""
    first: dict[Any, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError(f"{file}:{line}: a key in {_named(place)} is no word or number: write it as one")
        known = MERGE if key.tag == MERGE else loader.construct_object(key)
        names = (known, f"{known}")  # a number and its text would be two keys here and one in JSON
        if there := next((first[name] for name in names if name in first), None):
            raise YamlError(
                f"{file}:{line}: {_named((*place, key.value))} is given twice, first in line {there}: keep one"
            )
        first.update((name, line) for name in names)


def _refuse_surprise(loader: Loader, node: yaml.ScalarNode, place: Place, file: str | Path) -> None:
    if node.style is not None or node.tag != loader.resolve(yaml.ScalarNode, node.value, (True, False)):
        return
    readings = _readings(loader, node)
    if readings is not None:
        raise YamlError(
            f"{file}:{node.start_mark.line + 1}: {_named(place)}: {node.value} is {readings[0]} in YAML 1.1 and "
            f"{readings[1]} in YAML 1.2: write the value meant, or put quotes around a text"
        )


def _readings(loader: Loader, node: yaml.ScalarNode) -> tuple[str, str] | None:
    """How YAML 1.1 and 1.2 read a plain word, where they differ.

    Left out is `1e-3`, a text for 1.1: every field that takes numbers takes it as the same number.
    """
    text = node.value
    if node.tag == BOOL and text.lower() not in ("true", "false"):
        return f"{loader.construct_object(node)}".lower(), "a text"
    if node.tag in (INT, FLOAT) and ("_" in text or ":" in text or "0b" in text):
        return f"{loader.construct_object(node)}", "a text"
    if node.tag in (INT, STR) and WHOLE.fullmatch(text):
        number = int(text) if DECIMAL.fullmatch(text) else int(text, 0)
        read = loader.construct_object(node)
        return None if read == number else (f"{read}" if node.tag == INT else "a text", f"{number}")
    return None


def _named(place: Place) -> str:
    return ".".join(map(str, place)) or "the document"


def _unreadable(error: yaml.YAMLError, file: str | Path) -> YamlError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{file}:{mark.line + 1}" if mark else f"{file}"
    said = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    return YamlError(f"{where}: not YAML that can be read: {said}")


def _walk(node: yaml.Node, place: Place, seen: set[int]) -> Iterator[tuple[Place, int, yaml.Node]]:
    """Every node once, however many aliases it has, with its place and the line of its key."""
    yield place, node.start_mark.line + 1, node
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, (*place, number), seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            yield inner, key.start_mark.line + 1, key
            yield from _walk(value, inner, seen)
