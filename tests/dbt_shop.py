"""A shop whose orders are models of a real dbt project, `tests/dbt_project`: its folder, its raw files, its use case."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.components.use_case import load_use_case
from mlops_assets.stages.dbt_project import MANIFEST, RESULTS
from resources.lake.lake import Lake
from resources.settings import PROJECT_ROOT
from resources.use_case_folders import UseCaseFolder

PROJECT = PROJECT_ROOT / "tests" / "dbt_project"
RECORDED = PROJECT / "recorded"
"""What dbt 1.11 wrote of the project, as far as it is read here."""

FIRST = "2024-01-01"
YAML = """\
type: mlops_assets.components.dbt.DbtComponent
attributes: {project: dbt, command: "${DBT}", schedule: 0 5 * * *}
---
type: mlops_assets.components.table.TableComponent
attributes:
  name: orders
  source:
    kind: asset
    asset: shop/warehouse/orders
    at: {kind: sql, database: WAREHOUSE, query: "SELECT * FROM orders WHERE ordered_at >= :start AND ordered_at < :end"}
  columns: {order_id: int, shop: str, ordered_at: datetime, amount: float, sent_back: int}
  key: [order_id]
  time: ordered_at
"""
RECEIPTS = """\
order_id,shop,ordered_at,pieces,price,sent_back
1,north,2024-01-01 10:00:00,2,60.5,0
1,north,2024-01-01 10:00:00,1,3,0
2,south,2024-01-01 11:00:00,1,5,1
3,south,2024-01-02 09:00:00,1,7.5,0
"""


class DbtShop:
    """The shop in a folder, as its definitions make it, over a lake and an instance of its own."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root, self.instance = root, instance
        self.lake = Lake(root=str(root / "lake"))
        self.folder = UseCaseFolder(root / "shop", "shop")
        self.project = root / "shop" / "dbt"
        shutil.copytree(PROJECT, self.project, ignore=shutil.ignore_patterns("recorded", "target", "logs"))
        self.folder.file.write_text(
            "owner: team:shop\ncalendar: {cadence: daily, start: 2024-01-01, end: 2024-01-03}\n"
        )
        (self.folder.path / "defs.yaml").write_text(YAML)
        self.sell(RECEIPTS)

    @staticmethod
    def variables(root: Path) -> dict[str, str]:
        """What the project's profile and sources, and the table's source, are told by."""
        file = root / "warehouse.duckdb"
        return {
            "WAREHOUSE_FILE": str(file),
            "WAREHOUSE": f"duckdb:///{file}",
            "TILL_FILES": str(root / "receipts.csv"),
        }

    def sell(self, receipts: str) -> None:
        (self.root / "receipts.csv").write_text(receipts)

    def defs(self) -> dg.Definitions:
        """What the folder declares; the systems that no asset of these tests asks are stood in for."""
        loaded = load_use_case(self.folder).defs
        assets = [one for one in loaded.assets or () if isinstance(one, dg.AssetsDefinition)]
        systems = {"clock", *(name for one in assets for name in one.required_resource_keys)} - {"io_manager"}
        others = {name: dg.ResourceDefinition.none_resource() for name in systems}
        return dg.Definitions.merge(loaded, dg.Definitions(resources=others))

    def run(self, *keys: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
        """Materialize some assets in this process; how it ended is in the result."""
        wanted_keys = {dg.AssetKey(key.split("/")) for key in keys}
        every = load_use_case(self.folder).defs.assets or ()
        own = [one for one in every if isinstance(one, dg.AssetsDefinition) and wanted_keys & set(one.keys)]
        return dg.materialize(
            own,
            selection=dg.AssetSelection.assets(*wanted_keys),
            partition_key=partition,
            resources={"lake": self.lake},
            instance=self.instance,
            raise_on_error=False,
        )


def checks_of(done: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    """Of each check of a run, whether it passed and how much it weighs."""
    return {one.check_name: (one.passed, one.severity.value) for one in done.get_asset_check_evaluations()}


def tables_of(done: dg.ExecuteInProcessResult) -> set[str]:
    """What a run materialized."""
    return {
        event.asset_key.to_user_string()
        for event in done.get_asset_materialization_events()
        if event.asset_key
    }


def failure_of(done: dg.ExecuteInProcessResult) -> str:
    """What the failed step says."""
    (event,) = (event for event in done.all_events if event.is_step_failure)
    data = event.step_failure_data
    return data.user_failure_data.description if data.user_failure_data else str(data.error_display_string)  # type: ignore[return-value]


def recorded(project: Path) -> dict[str, Any]:
    """What dbt wrote below a project's `target`, as far as it is read here, file by file."""
    manifest = json.loads((project / MANIFEST).read_text())
    results = json.loads((project / RESULTS).read_text())
    node = ("unique_id", "name", "resource_type", "description", "attached_node", "depends_on", "source_name")
    return {
        MANIFEST.name: {
            "metadata": {"project_name": manifest["metadata"]["project_name"]},
            **{
                part: {key: _of_a_node(content, node) for key, content in sorted(manifest[part].items())}
                for part in ("nodes", "sources")
            },
        },
        RESULTS.name: {
            "results": [
                {key: one[key] for key in ("unique_id", "status", "message", "failures", "adapter_response")}
                | {"execution_time": 0.5}
                for one in results["results"]
            ]
        },
    }


def _of_a_node(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    config = {key: content.get("config", {}).get(key) for key in ("materialized", "severity")}
    depends = {"depends_on": {"nodes": content.get("depends_on", {}).get("nodes", [])}}
    return {key: content[key] for key in names if key in content} | {"config": config} | depends
