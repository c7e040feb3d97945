"""Commands of `mlops` in the process of a test."""

from collections.abc import Callable

import pytest

from mlops_assets.cli import parsed
from resources.command_errors import in_words


def command_line(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A function that runs a command: exit status and what was printed."""

    def run(*arguments: str) -> tuple[int, str]:
        task = parsed(arguments)
        assert task
        code = in_words(task.act, status=task.status)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run
