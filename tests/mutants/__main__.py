"""`python -m tests.mutants`: makes each mutation in a scratch copy and asks its test; exits 1 if one is not noticed."""

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from resources.settings import PROJECT_ROOT
from tests.mutants.listed import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.page import PAGE, with_table
from tests.mutants.trial import Outcome, Scratch

T = TypeVar("T")


def main() -> int:
    """Try all mutants, or those that are asked for; 1 where one survives or none is tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        help="a regular expression: mutants whose area, function, claim or test it is found in",
    )
    parser.add_argument("--beside", type=int, default=2, help="how many run side by side")
    parser.add_argument("--results", type=Path, help="where to write what became of each, as JSON")
    parser.add_argument(
        "--write-table", action="store_true", help=f"write the table of {PAGE.name} and do no more"
    )
    options = parser.parse_args()
    if options.write_table:
        PAGE.write_text(with_table(PAGE.read_text()))
        return 0
    mutants = [m for m in MUTANTS if re.search(options.only, f"{m.area} {m.where} {m.claim} {m.test}")]
    started = time.monotonic()
    results = outcomes(mutants, options.beside)
    if options.results:
        options.results.write_text(json.dumps([_record(*one) for one in results], indent=1))
    survivors = [(mutant, outcome) for mutant, outcome in results if outcome.verdict != "red"]
    minutes = (time.monotonic() - started) / 60
    print(f"{len(results) - len(survivors)} of {len(results)} mutants were noticed, {minutes:.1f} minutes")
    for mutant, outcome in survivors:
        print(f"  {outcome.verdict}: {mutant.name}: {mutant.claim} ({mutant.test}) {outcome.message}")
    return 1 if survivors or not results else 0


def outcomes(mutants: Sequence[Mutant], beside: int) -> list[tuple[Mutant, Outcome]]:
    """What became of each, in their order; a mutant whose test is not green without it is `broken`."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Scratch(PROJECT_ROOT, Path(folder, str(number))) for number in range(beside)]
        tests = list(dict.fromkeys(mutant.test for mutant in mutants))
        baseline = dict(zip(tests, _each(copies, tests, _without_mutant), strict=True))
        return list(
            zip(mutants, _each(copies, mutants, lambda copy, m: _try(copy, m, baseline[m.test])), strict=True)
        )


def _without_mutant(copy: Scratch, test: str) -> Outcome:
    """A test on the product as it is, which must be green."""
    outcome = copy.run(test)
    print(f"{outcome.verdict:<5} {outcome.seconds:5.1f} s  {test} without any mutant", flush=True)
    return outcome


def _try(copy: Scratch, mutant: Mutant, before: Outcome) -> Outcome:
    if before.verdict != "green":
        outcome = Outcome("broken", f"without the mutant its test is {before.verdict}: {before.message}", 0.0)
    else:
        outcome = copy.try_mutant(mutant)
    mark = "ok " if outcome.verdict == "red" else "NOT"
    print(
        f"{mark} {outcome.seconds:5.1f} s  {mutant.area}: {mutant.claim} [{outcome.message[:100]}]",
        flush=True,
    )
    return outcome


def _each(
    copies: Sequence[Scratch], things: Sequence[T], work: Callable[[Scratch, T], Outcome]
) -> list[Outcome]:
    """The work on each thing, on as many copies at once as there are."""
    free: SimpleQueue[Scratch] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def on_a_free_copy(thing: T) -> Outcome:
        copy = free.get()
        try:
            return work(copy, thing)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        return list(pool.map(on_a_free_copy, things))


def _record(mutant: Mutant, outcome: Outcome) -> dict[str, str | float]:
    return {
        **vars(mutant),
        "verdict": outcome.verdict,
        "message": outcome.message,
        "seconds": round(outcome.seconds, 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
