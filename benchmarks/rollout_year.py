"""The year of the worked example with a plan for roll-outs beside the year without one: what each week was decided, and what it cost.

Both sides are `mlops run` of one revision from an empty state, one after the other; the plan is added to a copy of the model's file.
In a replay the rows of a week are the requests, so a step ends with a week, and what was answered until the last one is the champion's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.replay import MODEL, last_of
from benchmarks.replay_against import revision_of
from benchmarks.report import save

WITHOUT, WITH = "at once", "in steps"
FILE = f"mlops_assets/use_cases/flights/models/{MODEL}/defs.yaml"
PLAN = """  rollout:
    answers_influence_labels: false
    shadow: {bake: 6d, minimum_samples: 1000}
    canary: []
    full: {bake: 6d, minimum_samples: 1000}
    limits: {metric_worse_by: 0, metric_tolerance: 0.01}
    ask_after: 28d
"""
COMMAND = ("-m", "mlops_assets.cli", "run", "--no-compare", "--no-second-model", "--through")
LONGEST = 90
"""Characters of a decision that the table shows."""


def main() -> None:
    """Replay both, print the weeks in which they differ, and save `benchmarks/results/rollout_year.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=53, metavar="N", help="only the first N weeks")
    options = parser.parse_args()
    through = last_of(options.weeks)
    with revision_of("HEAD") as (name, tree):
        tables = {WITHOUT: replayed(tree, through)}
        path = tree / FILE
        path.write_text(with_plan(path.read_text()))
        tables[WITH] = replayed(tree, through)
    print(table_of(tables))
    figures = {side: figures_of(table) for side, table in tables.items()}
    print(save("rollout_year", {**figures, "revision": name, "through": through, "plan": PLAN}, {}))


def with_plan(content: str) -> str:
    """A model's file with the plan among its attributes; refused where it has one."""
    if "\n  rollout:" in content:
        raise SystemExit(
            f"{FILE} has a plan already: take it out, the year without one is what it is compared with"
        )
    return content.rstrip("\n") + "\n" + PLAN


def replayed(tree: Path, through: str) -> pl.DataFrame:
    """The table of the weeks that one run of a checkout leaves, from an empty state; what it prints is shown."""
    with tempfile.TemporaryDirectory(prefix="rollout-year-") as home:
        environment = {**os.environ, "MLOPS_HOME": home, "PYTHONPATH": str(tree)}
        subprocess.run([sys.executable, *COMMAND, through], cwd=tree, env=environment, check=True)
        return pl.read_csv(Path(home, "replay", "flights", "partitions.csv"), infer_schema_length=None)


def figures_of(table: pl.DataFrame) -> dict[str, Any]:
    """What a side came to: log loss over all labelled rows that a champion answered, and how often its version changed."""
    served = table.filter(pl.col("log_loss").cast(pl.Float64, strict=False).is_not_null())
    pairs = served.select(pl.col("log_loss", "labelled").cast(pl.Float64)).rows()
    rows = sum(count for _, count in pairs)
    changes = served["version"].cast(pl.String).rle_id().max() if served.height else None
    return {
        "weeks": table.height,
        "weeks answered": served.height,
        "log loss": round(sum(loss * count for loss, count in pairs) / rows, 5) if rows else None,
        "changes of champion": changes,
        "versions": served["version"].cast(pl.String).unique(maintain_order=True).to_list(),
    }


def table_of(tables: dict[str, pl.DataFrame]) -> str:
    """The weeks whose version, log loss or decision differ, a line a side, and below them what each side came to."""
    lines = [f"{'partition':<12}{'':<10}{'version':<9}{'log loss':<10}decision"]
    sides = {side: table.rows(named=True) for side, table in tables.items()}
    for one, other in zip(sides[WITHOUT], sides[WITH], strict=True):
        if all(one[name] == other[name] for name in ("version", "log_loss", "decision")):
            continue
        for side, row in ((WITHOUT, one), (WITH, other)):
            told = str(row["decision"])[:LONGEST]
            lines.append(
                f"{row['partition']:<12}{side:<10}{_text(row['version']):<9}{_text(row['log_loss']):<10}{told}"
            )
    if len(lines) == 1:
        lines.append("no week differs: none of them had a challenger that passed beside a champion")
    for side, table in tables.items():
        told = figures_of(table)
        lines.append(
            f"{side}: log loss {told['log loss']} over {told['weeks answered']} weeks, versions {told['versions']}"
        )
    return "\n".join(lines)


def _text(value: object) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
