"""The table of docs/testing.md, made from the list."""

from collections.abc import Iterator

from resources.settings import PROJECT_ROOT
from tests.mutants.listed import MUTANTS
from tests.mutants.mutant import Mutant

PAGE = PROJECT_ROOT / "docs" / "testing.md"
START, END = "<!-- mutants: python -m tests.mutants --write-table -->", "<!-- end of mutants -->"


def with_table(page: str) -> str:
    """The page with the table of all mutants between its markers; the rest is left alone."""
    before, _, rest = page.partition(START)
    if END not in rest:
        raise ValueError(f"{PAGE} lacks the markers {START} and {END}")
    return f"{before}{START}\n{table()}\n{END}{rest.partition(END)[2]}"


def table() -> str:
    """A row a mutant: its area, what the mutated product does wrong, where, and the test that notices."""
    head = "| area | what the product does then | where | the test that notices |\n|---|---|---|---|"
    return "\n".join([head, *_rows()])


def _rows() -> Iterator[str]:
    for mutant in MUTANTS:
        yield f"| {mutant.area} | {mutant.claim} | {_place(mutant)} | `{mutant.test}` |"


def _place(mutant: Mutant) -> str:
    module, _, function = mutant.where.partition(":")
    return f"`{module.rpartition('.')[2]}`: `{function or 'the module'}`"
