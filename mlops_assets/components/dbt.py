"""A defs.yaml becomes the assets of a dbt project: its models with their lineage, its tests as their checks."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
import pydantic

from mlops_assets.components.table import folder_of
from mlops_assets.components.tree import refuse_files
from mlops_assets.spec.dbt import DbtSpec
from mlops_assets.spec.files import DBT, documents
from mlops_assets.spec.use_case import UseCase, current_use_case
from mlops_assets.stages.dbt_project import (
    DbtProject,
    DbtResult,
    DbtTable,
    DbtTest,
    build,
    project_folder,
    read_project,
)
from mlops_assets.stages.errors import SourceError
from resources.use_case_folders import UseCaseFolder
from resources.yaml_files import YamlError

DONE, PASSED = "success", ("pass", "success")


class DbtComponent(dg.Component):
    """The models of a dbt project as assets `<use case>/<project>/<model>`, built by one job."""

    def __init__(self, spec: DbtSpec, use_case: UseCase, folder: Path):
        self.spec, self.use_case, self.folder = spec, use_case, folder
        self.project = read_project(folder)

    @classmethod
    def get_model_cls(cls) -> type[pydantic.BaseModel]:
        return DbtSpec

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> Self:
        refuse_files(context.path)
        use_case = current_use_case()
        if use_case is None:
            raise ValueError(f"dbt project {attributes.project!r} belongs to no use case: put it below one's")
        folder = folder_of(context.path)
        try:
            return cls(attributes, use_case, project_folder(attributes, folder))
        except SourceError as error:
            raise YamlError(f"{_place(attributes, folder)}: {error}") from error

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        name = f"{self.use_case.name}_{self.project.name}"
        job = dg.define_asset_job(
            f"build_{name}",
            selection=dg.AssetSelection.groups(name),
            executor_def=dg.in_process_executor,
            description=f"Build and test the dbt project {self.project.name}.",
        )
        read = [self._spec(table) for table in self.project.tables.values() if not table.built]
        return dg.Definitions(
            assets=[dbt_assets(self, name), *read], jobs=[job], schedules=list(self._schedules(job))
        )

    def _schedules(self, job: Any) -> Iterator[dg.ScheduleDefinition]:
        """On from the start where the use case lives by the wall clock, as its sensors are."""
        if self.spec.schedule:
            running = self.use_case.clock == "wall"
            yield dg.ScheduleDefinition(
                job=job,
                cron_schedule=self.spec.schedule,
                execution_timezone=self.use_case.calendar.timezone,
                default_status=dg.DefaultScheduleStatus.RUNNING
                if running
                else dg.DefaultScheduleStatus.STOPPED,
            )

    def key(self, table: str) -> dg.AssetKey:
        """The asset of a table's id."""
        return dg.AssetKey([self.use_case.name, self.project.name, *self.project.tables[table].path])

    def specs(self) -> list[dg.AssetSpec]:
        """Of all that a build leaves as a table."""
        return [self._spec(table) for table in self.project.tables.values() if table.built]

    def _spec(self, table: DbtTable) -> dg.AssetSpec:
        return dg.AssetSpec(
            self.key(table.id),
            deps=[self.key(one) for one in table.after if one in self.project.tables],
            description=table.description or None,
            group_name=f"{self.use_case.name}_{self.project.name}",
            owners=[self.use_case.owner],
            kinds={"dbt"} if table.built else set(),
        )

    def check(self, test: DbtTest) -> dg.AssetCheckKey:
        """The check of a test."""
        return dg.AssetCheckKey(self.key(test.table), re.sub(r"\W", "_", test.name))


def _place(spec: DbtSpec, folder: Path) -> str:
    """File and line at which a use case names the project."""
    written = documents(UseCaseFolder(folder, folder.name))
    return next(
        one.at("project") for one in written if one.kind == DBT and one.attributes["project"] == spec.project
    )


def dbt_assets(project: DbtComponent, name: str) -> dg.AssetsDefinition:
    """What `dbt build` makes and tests, all of it or what somebody selected."""
    checks = {project.check(test): test for test in project.project.tests.values()}
    tables = {project.key(table.id): table for table in project.project.tables.values() if table.built}

    @dg.multi_asset(
        name=f"dbt_{name}",
        specs=project.specs(),
        check_specs=[dg.AssetCheckSpec(check.name, asset=check.asset_key) for check in checks],
        can_subset=True,
        allow_arbitrary_check_specs=True,
    )
    def built(context: dg.AssetExecutionContext) -> Iterator[Any]:
        names = _selected(context, tables, checks)
        results, failure = build(project.spec, project.folder, names, context.log.info)
        refuse_unknown(project.project, results)
        for result in results:
            yield from event(project, result)
        if failure:
            raise dg.Failure(description=failed(results, failure), allow_retries=False)

    return built


def _selected(
    context: dg.AssetExecutionContext,
    tables: Mapping[dg.AssetKey, DbtTable],
    checks: Mapping[dg.AssetCheckKey, DbtTest],
) -> list[str]:
    """The names that dbt is to build and test; none where it is all, and the tests of what is only read come along then."""
    chosen = {*context.selected_asset_keys, *context.selected_asset_check_keys}
    if {*tables, *(check for check in checks if check.asset_key in tables)} <= chosen:
        return []
    named = {
        **{key: table.path[-1] for key, table in tables.items()},
        **{key: test.name for key, test in checks.items()},
    }
    return [name for key, name in named.items() if key in chosen]


def event(project: DbtComponent, result: DbtResult) -> Iterator[Any]:
    """What Dagster is told of a result: a table that was built, or what a test came to; nothing of what was skipped."""
    figures: Mapping[str, Any] = {**result.figures, **({"dbt": result.message} if result.message else {})}
    table, test = project.project.tables.get(result.id), project.project.tests.get(result.id)
    if table and result.status == DONE:
        yield dg.MaterializeResult(asset_key=project.key(table.id), metadata=figures)
    elif test and result.status != "skipped":
        warns = test.warns or result.status == "warn"
        check = project.check(test)
        yield dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=result.status in PASSED,
            severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
            metadata=figures,
        )


def refuse_unknown(project: DbtProject, results: list[DbtResult]) -> None:
    """Raise SourceError for a model or test that was built and was not there when the definitions were loaded."""
    known = {*project.tables, *project.tests}
    kinds = ("model.", "seed.", "snapshot.", "test.")
    if more := [one.id for one in results if one.id.startswith(kinds) and one.id not in known]:
        raise SourceError(
            f"dbt built {more[0]}, which was not in its manifest when the definitions were loaded: reload them"
        )


def failed(results: list[DbtResult], last: str) -> str:
    """Which models and tests failed, with dbt's words, and which were skipped for that."""
    wrong = [
        f"{one.id}: {one.message}" for one in results if one.status in ("error", "fail", "runtime error")
    ]
    skipped = [one.id for one in results if one.status == "skipped"]
    behind = f"\nskipped because of that: {', '.join(skipped)}" if skipped else ""
    return "dbt build failed: " + ("; ".join(wrong) or last) + behind
