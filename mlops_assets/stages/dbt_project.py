"""A dbt project, run as a process and read by the files that it leaves: its models, its tests, and what a build came to.

dbt pins libraries that this project needs in other versions, so it lives in an environment of its own and nothing of it
is imported. The two files are its documented interface: https://docs.getdbt.com/reference/artifacts/dbt-artifacts
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.spec.dbt import DbtSpec
from mlops_assets.stages.errors import SourceError
from mlops_assets.stages.source_files import filled_in
from resources.settings import USAGE_REPORTS_OFF

TABLES = ("model", "seed", "snapshot")
MANIFEST, RESULTS = Path("target", "manifest.json"), Path("target", "run_results.json")
TAKEN = ("features", "ingest")
LINES_TOLD = 15


@dataclass(frozen=True)
class DbtTable:
    """What a build leaves as a table, or a source that it reads: its name in parts, and the ids it is made of."""

    id: str
    path: tuple[str, ...]
    description: str
    after: tuple[str, ...] = ()
    built: bool = True


@dataclass(frozen=True)
class DbtTest:
    """A test, and the id of the table that it is about."""

    id: str
    name: str
    table: str
    warns: bool


@dataclass(frozen=True)
class DbtProject:
    """What a manifest declares, by id."""

    name: str
    tables: Mapping[str, DbtTable]
    tests: Mapping[str, DbtTest]


@dataclass(frozen=True)
class DbtResult:
    """What a build came to for one id: dbt's word for it, its message, and figures for the page."""

    id: str
    status: str
    message: str
    figures: Mapping[str, float]


def project_folder(spec: DbtSpec, use_case: Path) -> Path:
    """The project's folder, absolute. Raises SourceError where it has no dbt_project.yml."""
    folder = use_case / filled_in(spec.project, "project")
    if not (folder / "dbt_project.yml").is_file():
        raise SourceError(f"{folder} is no dbt project: it has no dbt_project.yml, name the folder that has")
    return folder.resolve()


def read_project(folder: Path) -> DbtProject:
    """The tables and tests of a project.

    Raises SourceError where dbt has not written its manifest yet, or where names do not keep tables apart.
    """
    if not (folder / MANIFEST).is_file():
        raise SourceError(
            f"{folder / MANIFEST} is not there: run `dbt parse` in {folder}, and again when models or tests change"
        )
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    nodes, sources = content["nodes"], content["sources"]
    tables = {one["unique_id"]: _source(one) for one in sources.values()}
    tables |= {
        node["unique_id"]: DbtTable(
            node["unique_id"], (node["name"],), node["description"], tuple(_behind(node, nodes))
        )
        for node in nodes.values()
        if node["resource_type"] in TABLES and not _is_inlined(node)
    }
    _refuse_names(content["metadata"]["project_name"], tables.values())
    tests = [_test(node, nodes) for node in nodes.values() if node["resource_type"] == "test"]
    about = {one.id: one for one in tests if one.table in tables}
    return DbtProject(content["metadata"]["project_name"], tables, about)


def _refuse_names(project: str, tables: Iterable[DbtTable]) -> None:
    """Raise SourceError for a project that is called as another group of assets is, and for two tables of one name."""
    if project in TAKEN:
        raise SourceError(
            f"a dbt project cannot be called {project!r}, as other assets of a use case are: choose another name in "
            "dbt_project.yml"
        )
    by_path: dict[tuple[str, ...], DbtTable] = {}
    for table in tables:
        if (other := by_path.setdefault(table.path, table)) is not table:
            raise SourceError(
                f"{other.id} and {table.id} have one name, {'/'.join(table.path)!r}, by which assets are called: rename one, "
                "or disable one of two versions"
            )


def _source(node: Mapping[str, Any]) -> DbtTable:
    path = (node["source_name"], node["name"])
    return DbtTable(node["unique_id"], path, node["description"], built=False)


def _is_inlined(node: Mapping[str, Any]) -> bool:
    """Whether a model leaves no table, because it becomes a part of those that read it."""
    return node.get("config", {}).get("materialized") == "ephemeral"


def _behind(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> Iterator[str]:
    """The ids of what a node is made of, through models that leave no table."""
    for one in node.get("depends_on", {}).get("nodes", ()):
        if one in nodes and _is_inlined(nodes[one]):
            yield from _behind(nodes[one], nodes)
        else:
            yield one


def _test(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> DbtTest:
    """A test is about the model that it is written at, else about the first that it reads."""
    at = node.get("attached_node")
    table = at if at and not (at in nodes and _is_inlined(nodes[at])) else next(_behind(node, nodes), "")
    return DbtTest(
        node["unique_id"], node["name"], table, str(node["config"].get("severity")).lower() == "warn"
    )


def build(
    spec: DbtSpec, folder: Path, selected: Sequence[str], tell: Callable[[str], None]
) -> tuple[list[DbtResult], str]:
    """`dbt build` of all, or of the selected names and nothing else; what came of each, and the last lines where it failed.

    `tell` is given each line of dbt's. Raises SourceError where there is no such command, or where it ends without results.
    """
    (folder / RESULTS).unlink(missing_ok=True)
    lines: list[str] = []
    with subprocess.Popen(
        _command(spec, folder, selected),
        cwd=folder,
        env={**os.environ, **USAGE_REPORTS_OFF, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            tell(line.rstrip())
    last = "\n".join(lines[-LINES_TOLD:])
    if not (folder / RESULTS).is_file():
        raise SourceError(
            f"dbt build in {folder} ended with {process.returncode} and left no results:\n{last}"
        )
    content = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    return [_result(one) for one in content["results"]], last if process.returncode else ""


def _command(spec: DbtSpec, folder: Path, selected: Sequence[str]) -> list[str]:
    command = filled_in(spec.command, "command")
    program = shutil.which(command)
    if program is None:
        raise SourceError(
            f"command {command!r} of the dbt project {folder} is not there: install dbt-core and the adapter of your database "
            "into an environment of its own, and name its bin/dbt"
        )
    profiles = folder / filled_in(spec.profiles, "profiles") if spec.profiles else folder
    return [
        *(program, "--no-use-colors", "build", "--project-dir", str(folder), "--profiles-dir", str(profiles)),
        *("--target-path", str((folder / RESULTS).parent)),
        *(("--target", spec.target) if spec.target else ()),
        *(("--indirect-selection", "empty", "--select", *selected) if selected else ()),
    ]


def _result(content: Mapping[str, Any]) -> DbtResult:
    figures = {"seconds": float(content["execution_time"])}
    if (rows := (content.get("adapter_response") or {}).get("rows_affected")) is not None:
        figures["rows"] = float(rows)
    if content.get("failures") is not None:
        figures["failures"] = float(content["failures"])
    return DbtResult(content["unique_id"], content["status"], content.get("message") or "", figures)
