"""The pages' tables filled from what `make run` printed and benchmarks left: `python -m docs.tables` renews them."""

import json
import re
import subprocess
import sys
from typing import Any

from benchmarks import (
    live,
    materialize,
    online_features,
    overload,
    point_in_time,
    serving,
    serving_rollout,
    training,
)
from benchmarks.report import RESULTS
from docs.variables import variables_table
from mlops_assets.local.probes import answers
from resources.settings import PROJECT_ROOT, settings
from resources.storage.durable import write_text

README = PROJECT_ROOT / "README.md"
YEAR = PROJECT_ROOT / "docs" / "the-year.md"
FEATURE_STORE = PROJECT_ROOT / "docs" / "feature-store.md"
TRAINING = PROJECT_ROOT / "docs" / "training.md"
SERVING = PROJECT_ROOT / "docs" / "serving.md"
LIVE = PROJECT_ROOT / "docs" / "live.md"
PURCHASES = PROJECT_ROOT / "docs" / "purchases.md"
OF_THE_REPORT = {
    "partitions": ("flights", "partition ", YEAR),
    "policies": ("flights", "policy ", README),
    "buys again": ("purchases", "buys_again: ", PURCHASES),
    "spends next": ("purchases", "spends_next: ", PURCHASES),
    "purchase policies": ("purchases", "policy ", PURCHASES),
}
"""Tables of replays' reports by the name of their marker: the use case, how their first line begins, and the page."""

MEASURED = {
    "point_in_time": ("point-in-time", point_in_time.table, (README, FEATURE_STORE)),
    "materialize": ("materialize", materialize.table_of, (FEATURE_STORE,)),
    "online_features": ("online-features", online_features.table_of, (FEATURE_STORE,)),
    "training": ("training", training.table_of, (TRAINING,)),
    "serving": ("serving", serving.page_table, (SERVING,)),
    "serving_rollout": ("rollout", serving_rollout.table_of, (SERVING,)),
    "live": ("live", live.table, (LIVE,)),
    "overload": ("overload", overload.page_table, (SERVING,)),
}
"""Benchmarks by the name of their results: the marker of their table, what prints it, and the pages that have it."""


def main() -> int:
    """Fill the speed tables, the table of variables, and the tables of the year from the state folder's report."""
    for name, (_, _, pages) in MEASURED.items():
        for page in pages if (RESULTS / f"{name}.json").exists() else ():
            figures = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
            write_text(page, with_speed(page.read_text(), name, figures))
    write_text(README, between(README.read_text(), "variables", variables_table()))
    missing = set()
    for name, (use_case, _, page) in OF_THE_REPORT.items():
        report = settings().replay / use_case / "report.txt"
        if not report.exists():
            missing.add(use_case)
            continue
        write_text(page, filled(page.read_text(), name, report.read_text()))
        print(f"{page.relative_to(PROJECT_ROOT)} has the table of {name} from {report}")
    for use_case in sorted(missing):
        print(
            f"error: {settings().replay / use_case} has no report: run `mlops run {use_case}` first",
            file=sys.stderr,
        )
    _fill_reply(settings().serve_port)
    return bool(missing)


def _fill_reply(port: int) -> None:
    if answers(f"http://127.0.0.1:{port}/healthz"):
        page = README.read_text()
        write_text(README, between(page, "reply", fenced(json.dumps(reply(page, port)), "json")))
    else:
        print(f"no endpoint on port {port} (`make serve`): the reply in the README stays as it is")


def with_speed(page: str, name: str, figures: dict[str, Any]) -> str:
    """The page with the table of a benchmark's figures between its markers."""
    marker, table, _ = MEASURED[name]
    return between(page, marker, fenced(table(figures)))


def reply(page: str, port: int) -> dict[str, Any]:
    """What the page's curl line is answered by the endpoint on a port."""
    found = re.search(r"```bash\n(curl .*?)```", page, re.DOTALL)
    if found is None:
        raise ValueError("the page has no block that begins with curl")
    command = found[1].replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def filled(page: str, name: str, report: str) -> str:
    """The page with a table of the report between its markers; the rest is left alone.

    Raises ValueError where the report lacks the table or the page a marker.
    """
    _, start, _ = OF_THE_REPORT[name]
    return between(page, name, fenced(_table(report, start)))


def _table(report: str, start: str) -> str:
    """The lines of the report from the one that begins so to the next empty one."""
    lines = report.splitlines()
    first = next((n for n, line in enumerate(lines) if line.startswith(start)), None)
    if first is None:
        raise ValueError(f"the report has no table that begins with {start!r}: let the replay finish")
    rest = lines[first:]
    return "\n".join(rest[: rest.index("")] if "" in rest else rest)


def fenced(text: str, kind: str = "text") -> str:
    """The text as a block of code."""
    return f"```{kind}\n{text}\n```"


def between(page: str, name: str, text: str) -> str:
    """The page with a text between the markers of that name."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marked.search(page):
        raise ValueError(f"the page has no markers <!-- {name} --> and <!-- /{name} -->")
    return marked.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)


def block_in(page: str, name: str) -> str:
    """What stands between the markers of that name, without the fence."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)\n```\n<!-- /{name} -->", page, re.DOTALL)
    return found[1] if found else ""


if __name__ == "__main__":
    raise SystemExit(main())
