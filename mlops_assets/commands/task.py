"""Commands of `mlops`: a typed function is the work of one; parsing a command line only says which work it is, and with what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import typer

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What a command line asks for; `writes` says whether it changes the state, `status` how it exits where it ends in an error."""

    work: Callable[..., int]
    options: dict[str, Any]
    writes: bool = True
    status: int = 1

    def act(self) -> int:
        """Do it, and return the exit status."""
        return self.work(**self.options)


def group(help: str | None = None) -> typer.Typer:
    """A command that has commands, which are told in plain text."""
    return typer.Typer(
        help=help,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def command(
    app: typer.Typer, name: str | None = None, *, writes: bool = True, status: int = 1
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a function that does some work and returns an exit status a command: its docstring is the help, its arguments the options."""

    def register(work: Callable[..., int]) -> Callable[..., int]:
        @wraps(work)
        def task(**options: Any) -> Task:
            return Task(work, options, writes, status)

        app.command(name)(task)
        return work

    return register


def read(parse: Callable[[str], T], *errors: type[Exception]) -> Callable[[str], T]:
    """A parser of an option whose errors are told as the option's."""

    @wraps(parse)
    def parsed(text: str) -> T:
        try:
            return parse(text)
        except errors as error:
            raise typer.BadParameter(str(error)) from error

    return parsed
