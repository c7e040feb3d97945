"""`mlops key`: keys by which others may ask the endpoint; the settings know their hashes alone."""

import re
from typing import Annotated

import typer

from mlops_assets.commands.task import command, group, read

verbs = group("keys by which others may ask the endpoint")


def add(app: typer.Typer) -> None:
    """Add `key` to the commands."""
    command(verbs, "new", writes=False)(_new)
    app.add_typer(verbs, name="key")


def _named(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError(f"{name!r} is no name of a key: give letters, digits, `_`, `.` and `-`, at most 64")
    return name


def _new(
    name: Annotated[
        str,
        typer.Argument(parser=read(_named, ValueError), metavar="NAME", help="who gets it"),
    ],
) -> int:
    """make a key, show it once, and print what goes into MLOPS_SERVE_KEYS"""
    from resources.serving.http.keys import key_hash, new_key

    key = new_key()
    print(f"The key of {name}, shown this once; it is sent as Authorization: Bearer KEY, or X-API-Key: KEY")
    print(f"  {key}")
    print("Its hash, for MLOPS_SERVE_KEYS (commas between several; without it the key is no longer taken):")
    print(f"  {name}:{key_hash(key)}")
    return 0
