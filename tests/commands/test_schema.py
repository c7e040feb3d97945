"""`mlops schema`: an editor that checks YAML by it takes every shipped file, and refuses what the platform refuses."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.cli import main
from mlops_assets.commands.schema import DEFS_SCHEMA, USE_CASE_SCHEMA, json_schemas
from resources.use_case_folders import use_case_folders

SCHEMAS = json_schemas()


def plain(text: str) -> list[Any]:
    """The documents as an editor sees them: days are texts, and `on` is a word."""
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    found = list(yaml.load_all(text, Loader=loader))
    for document in found:
        if document.get("attributes", {}).get("automation") is True:
            document["attributes"]["automation"] = "on"
    return found


def documents() -> Iterator[tuple[str, Any]]:
    for folder in use_case_folders():
        yield from ((USE_CASE_SCHEMA, one) for one in plain(folder.file.read_text()))
        for file in folder.component_files:
            yield from ((DEFS_SCHEMA, one) for one in plain(file.read_text()))


SHIPPED = list(documents())


def fits(schema: str, document: Any) -> bool:
    return jsonschema.Draft202012Validator(SCHEMAS[schema]).is_valid(document)


def test_the_schemas_are_schemas_and_refer_to_nothing_outside():
    assert len(SHIPPED) >= 3
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert "$ref" not in json.dumps(schema)


@pytest.mark.parametrize(("schema", "document"), SHIPPED)
def test_every_shipped_file_fits(schema, document):
    jsonschema.validate(document, SCHEMAS[schema], jsonschema.Draft202012Validator)


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every mapping whose keys are fields: what is below free names (parameters, floors, periods) is left out."""
    if isinstance(content, dict):
        yield at
        for key, value in content.items():
            if key not in {
                "parameters",
                "floors",
                "periods",
                "columns",
                "expect",
                "request",
                "outcomes",
                "aggregates",
            }:
                yield from places(value, (*at, key))


@given(data=st.data())
def test_a_field_with_a_typo_is_refused_wherever_it_stands(data):
    schema, document = data.draw(st.sampled_from(SHIPPED))
    wrong = copy.deepcopy(document)
    inner = wrong
    for key in data.draw(st.sampled_from(list(places(document)))):
        inner = inner[key]
    field = data.draw(st.sampled_from(sorted(inner)))
    inner[f"{field}x"] = inner.pop(field)
    assert not fits(schema, wrong)


def test_the_command_writes_both_and_names_the_line_that_an_editor_reads(tmp_path, capsys):
    assert main(["schema", str(tmp_path / "schemas")]) == 0
    for name, schema in SCHEMAS.items():
        assert json.loads((tmp_path / "schemas" / name).read_text()) == schema
    assert f"# yaml-language-server: $schema={tmp_path / 'schemas' / DEFS_SCHEMA}" in capsys.readouterr().out
