"""`mlops schema`: JSON Schemas of the YAML files, by which an editor completes and checks them while they are written."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_assets.commands.task import command
from mlops_assets.spec.dbt import DbtSpec
from mlops_assets.spec.files import COMPONENT, DBT, TABLE
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.use_case import UseCase

DIALECT = "https://json-schema.org/draft/2020-12/schema"
USE_CASE_SCHEMA, DEFS_SCHEMA = "use_case.schema.json", "defs.schema.json"
INHERITED = {"calendar", "name"}
"""Fields that a file need not give: a model has its use case's calendar, and a use case its folder's name."""


def add(app: typer.Typer) -> None:
    """Add `schema` to the commands."""
    command(app, "schema", writes=False)(_schema)


def _schema(
    folder: Annotated[Path, typer.Argument(help="where the two files are written")] = Path("schemas"),
) -> int:
    """write JSON Schemas by which editors complete and check use_case.yaml and defs.yaml"""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in json_schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
        print(f"{folder / name}")
    print(
        "An editor with a YAML language server reads the one that a file's first line names: "
        f"# yaml-language-server: $schema={folder / DEFS_SCHEMA}"
    )
    return 0


def json_schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema: of a use_case.yaml, and of one document of a defs.yaml."""
    documents = {COMPONENT: ModelSpec, TABLE: TableSpec, DBT: DbtSpec}
    return {
        USE_CASE_SCHEMA: {"$schema": DIALECT, "title": "A use case", **_schema_of(UseCase)},
        DEFS_SCHEMA: {
            "$schema": DIALECT,
            "title": "A model, a table or a dbt project",
            "oneOf": [_component(path, spec) for path, spec in documents.items()],
        },
    }


def _component(path: str, spec: type[ModelSpec] | type[TableSpec] | type[DbtSpec]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"const": path}, "attributes": _schema_of(spec)},
        "required": ["type", "attributes"],
        "additionalProperties": False,
    }


def _schema_of(spec: type[ModelSpec] | type[TableSpec] | type[DbtSpec] | type[UseCase]) -> dict[str, Any]:
    """The schema of a spec with its parts inlined below itself, and without what is inherited among what must be given."""
    schema = spec.model_json_schema()
    optional = set() if spec in (TableSpec, DbtSpec) else INHERITED if spec is UseCase else {"calendar"}
    schema["required"] = [name for name in schema.get("required", []) if name not in optional]
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(content: Any, parts: dict[str, Any]) -> Any:
    """The schema with every reference replaced by what it refers to, so that it may stand anywhere."""
    if isinstance(content, list):
        return [_inlined(one, parts) for one in content]
    if not isinstance(content, dict):
        return content
    if name := str(content.get("$ref", "")).removeprefix("#/$defs/"):
        beside = {key: value for key, value in content.items() if key != "$ref"}
        return _inlined({**parts[name], **beside}, parts)
    return {key: _inlined(value, parts) for key, value in content.items()}
