"""A page of docs/, followed as a reader follows it: its files written, its commands given, what it shows compared."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

LEFT_OUT = "…"
"""In what a page shows: any text, or on a line of its own any lines."""

SHOWN = ("text", "json")
FILES = ("python", "yaml")
PATIENCE_S = 60.0
"""How long a question to a server may be answered otherwise: it looks for new versions now and then."""

KEPT = """\
trap 'env -0 > "{left}/variables"; pwd > "{left}/folder"' EXIT
set -e -o pipefail
"""


@dataclass(frozen=True)
class Block:
    """What stands between two fences, with its kind."""

    kind: str
    text: str


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    output: str
    errors: str = ""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, or a part of one, in order."""
    return [Block(*both) for both in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]


def is_shown(shown: str, output: str) -> bool:
    """Whether a page shows this output: line by line, spaces counted once, `LEFT_OUT` for whatever stands there."""
    lines = [_pattern(line) for line in shown.strip().splitlines()]
    return (
        re.fullmatch("".join(lines), "\n".join(map(_single, output.strip().splitlines())) + "\n") is not None
    )


def _pattern(line: str) -> str:
    if line.strip() == LEFT_OUT:
        return r"(?:[^\n]*\n)*?"
    return r"[^\n]*".join(map(re.escape, _single(line).split(LEFT_OUT))) + r"\n"


def _single(line: str) -> str:
    return " ".join(line.split())


def fits(shown: Any, answer: Any) -> bool:
    """Whether JSON is what a page shows: the same names and values, `LEFT_OUT` for any value."""
    if isinstance(shown, dict) and isinstance(answer, dict):
        return shown.keys() == answer.keys() and all(fits(shown[name], answer[name]) for name in shown)
    if isinstance(shown, list) and isinstance(answer, list):
        return len(shown) == len(answer) and all(map(fits, shown, answer))
    return shown in (LEFT_OUT, answer)


@dataclass
class Reader:
    """Somebody at a terminal: commands are given one after the other, in a folder and with variables that they change."""

    folder: Path
    variables: dict[str, str]
    left: Path
    """An empty folder of the test's own, where each command leaves the folder and variables for the next."""
    servers: Mapping[str, Callable[[Block], None]] = field(default_factory=dict)
    """Commands that do not end, and what is done in their place, given what the page shows of them."""

    def command(self, text: str) -> Done:
        """Give lines to bash, which stops at the first that fails."""
        script = KEPT.format(left=self.left) + text
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script],
            env=self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        pairs = (line.partition("=") for line in (self.left / "variables").read_text().split("\0") if line)
        self.variables = {name: value for name, _, value in pairs}
        self.folder = Path((self.left / "folder").read_text().rstrip("\n"))
        return Done(done.returncode, done.stdout, done.stderr)

    def follow(self, part: str) -> None:
        """Do what the blocks of a part of a page say; fails where a command does, or where another output is shown."""
        for block, after in pairwise([*blocks(part), Block("", "")]):
            if block.kind in FILES:
                self._write(block.text)
            elif block.kind == "diff":
                self._change(block.text)
            elif block.kind == "bash":
                self._give(block.text, after)
            else:
                assert block.kind in SHOWN, f"a page has no blocks of {block.kind!r}"

    def _give(self, text: str, after: Block) -> None:
        if text.strip() in self.servers:
            self.servers[text.strip()](after)
            return
        until = time.monotonic() + PATIENCE_S
        while not _as_shown(done := self.command(text), after):
            asks = text.startswith("curl ") and time.monotonic() < until
            assert asks, (
                f"{text}\n{done.output[-6000:]}\n{done.errors[-3000:]}\nis not what the page shows:\n{after.text}"
            )
            time.sleep(0.5)

    def _write(self, text: str) -> None:
        """The file that the first line names, with what follows it."""
        name, _, content = text.removeprefix("# ").partition("\n")
        (self.folder / name).write_text(text if name.endswith(".py") else content)

    def _change(self, text: str) -> None:
        """Put the lines that begin with + in the place of those that begin with -, in the file that the first line names."""
        name, *lines = text.removeprefix("# ").splitlines()
        before, after = ("".join(f"{line[1:]}\n" for line in lines if line[0] == sign) for sign in "-+")
        content = (self.folder / name).read_text()
        assert content.count(before) == 1, f"{name} has not once what the page changes:\n{before}"
        (self.folder / name).write_text(content.replace(before, after))


def _as_shown(done: Done, after: Block) -> bool:
    """Whether a command did what a page says: it fails only where an error is shown, and prints what is shown, if anything is."""
    refused = re.search(r"^error ", after.text, re.MULTILINE) is not None
    if (done.status != 0) != refused:
        return False
    if after.kind == "text":
        return is_shown(after.text, done.output)
    if after.kind != "json":
        return True
    try:
        return fits(json.loads(after.text), json.loads(done.output))
    except ValueError:
        return False
