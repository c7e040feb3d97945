"""What the document says of a cell of `features` is what an answer has there, whatever the feature's type."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import jsonschema
import polars as pl
import pytest
from fastapi.encoders import jsonable_encoder

from resources.serving.answers import with_vectors
from resources.serving.http.model_schemas import model_schemas
from tests.resources.endpoint_in_process import TRIP, client, endpoint

NUMBER, NULL = {"type": "number"}, {"type": "null"}
CELLS: list[tuple[Any, Any, dict[str, Any]]] = [
    (pl.Float32(), 1.5, NUMBER),
    (pl.Float64(), 0.1, NUMBER),
    (pl.Int32(), -7, {"type": "integer"}),
    (pl.Int64(), 2**40, {"type": "integer"}),
    (pl.Boolean(), True, {"type": "boolean"}),
    (pl.String(), "Ærø", {"type": "string"}),
    (pl.Datetime("us", "UTC"), datetime(2024, 1, 2, tzinfo=UTC), {"type": "string", "format": "date-time"}),
    (pl.Date(), date(2024, 1, 2), {"type": "string", "format": "date"}),
    (pl.List(pl.Float64()), [1.5, None], {"type": "array", "items": {"anyOf": [NUMBER, NULL]}}),
    (pl.Struct({"a": pl.String}), {"a": "b"}, {"type": "object"}),
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return endpoint(tmp_path_factory.mktemp("endpoint"))


class OneFeature:
    """A store whose service gives the feature `unknown` in one type."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def feature_types(self, service: str) -> dict[str, Any]:
        return {"distance_squared": pl.Float64(), "age_hours": pl.Int64(), "unknown": self.kind}


@pytest.mark.parametrize(("kind", "value", "wanted"), CELLS)
def test_a_cell_has_the_type_of_its_feature_and_may_be_missing(app, kind, value, wanted):
    model = replace(app.state.models.served["trips"], features=OneFeature(kind))
    cell = model_schemas(model, 10)["trips.answer"]["properties"]["features"]["properties"]["unknown"]
    assert cell == {"anyOf": [wanted, NULL]}
    for given in (value, None):
        (answer,) = with_vectors([{}], pl.DataFrame({"unknown": pl.Series([given], dtype=kind)}))
        jsonschema.validate(jsonable_encoder(answer)["features"]["unknown"], cell)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"what": [1]} if kind != pl.Struct({"a": pl.String}) else 1, cell)


def test_columns_of_the_request_have_the_types_that_the_record_gives_them(app):
    model = app.state.models.served["trips"]
    columns = {"weight": "float", "kind": "str | null", "count": "int", "late": "bool|null"}
    model = replace(model, record=model.record.model_copy(update={"columns": columns}))
    cells = model_schemas(model, 10)["trips.answer"]["properties"]["features"]["properties"]
    assert (cells["weight"], cells["count"]) == (NUMBER, {"type": "integer"})
    assert (cells["kind"], cells["late"]) == ({"anyOf": [{"type": "string"}, NULL]}, {"anyOf": [{"type": "boolean"}, NULL]})  # fmt: skip


def test_an_answer_with_features_is_what_the_document_says(app):
    http = client(app)
    document = http.get("/openapi.json").json()
    answer = http.post("/v1/models/trips/predict?features=true", json=TRIP).json()
    schema = {"$ref": "#/components/schemas/trips.answer", "components": document["components"]}
    jsonschema.validate(answer, schema)
    assert set(answer["features"]) == {"distance_squared", "age_hours", "unknown"}
