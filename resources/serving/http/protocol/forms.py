"""The JSON of the protocol: what is asked with, and how a model describes itself."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pydantic

from resources.serving.answers import ANSWERS
from resources.serving.http.forms import fields
from resources.serving.http.protocol.tensors import BYTES
from resources.serving.live_models import Served

Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip
KINDS = {"boolean": "BOOL", "integer": "INT64", "number": "FP64", "string": BYTES}
"""JSON schema's types as datatypes; moments and days are texts in ISO 8601."""


class Strict(pydantic.BaseModel):
    """A form that has no fields but its own: what means nothing here is refused, and not passed over."""

    model_config = pydantic.ConfigDict(extra="forbid")


class TensorParameters(Strict):
    """How a tensor is sent: `binary_data_size` bytes behind the JSON."""

    binary_data_size: pydantic.StrictInt | None = pydantic.Field(default=None, ge=0)


class AskedParameters(Strict):
    """How a tensor is answered: as bytes behind the JSON, or in it."""

    binary_data: pydantic.StrictBool | None = None


class RequestParameters(Strict):
    """How the tensors are answered that say nothing themselves."""

    binary_data_output: pydantic.StrictBool = False


class InferInput(Strict):
    """One field of all rows: `data` has a value a row, flat or a list a row; null is a missing value."""

    name: str
    shape: list[pydantic.NonNegativeInt] = pydantic.Field(min_length=1, max_length=2, examples=[[1]])
    datatype: Datatype
    parameters: TensorParameters = TensorParameters(binary_data_size=None)
    data: list[Any] | None = None


class InferOutput(Strict):
    """One of the answer's tensors to be sent."""

    name: str
    parameters: AskedParameters = AskedParameters()


class InferRequest(Strict):
    """Rows as tensors, one a field; `id` comes back, and without `outputs` all are answered."""

    id: str | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: list[InferInput]
    outputs: list[InferOutput] | None = None


class InputKind(pydantic.BaseModel):
    """What an input holds: its datatype, whether a row has a list of values, and whether one may be missing."""

    datatype: str
    listed: bool = False
    optional: bool = False


def kinds(request: type[pydantic.BaseModel]) -> dict[str, InputKind]:
    """The inputs of a model by name, from its request's schema; a field that no tensor holds is left out."""
    by_name = {name: _kind(field) for name, field in fields(request).items()}
    optional = {name for name, field in request.model_fields.items() if not field.is_required()}
    return {
        name: kind.model_copy(update={"optional": name in optional}) for name, kind in by_name.items() if kind
    }


def _kind(field: Mapping[str, Any]) -> InputKind | None:
    if field.get("type") == "array":
        datatype = KINDS.get(field.get("items", {}).get("type", ""))
        return InputKind(datatype=datatype, listed=True) if datatype else None
    datatype = KINDS.get(field.get("type", ""))
    return InputKind(datatype=datatype) if datatype else None


def outputs(model: Served) -> dict[str, str]:
    """The datatype of each tensor of an answer: the number, its moment, the id it is logged under, and warnings."""
    return {ANSWERS[model.record.task]: "FP64", "as_of": BYTES, "request_id": BYTES, "warnings": BYTES}


def metadata(model: Served, versions: Sequence[str] = ()) -> dict[str, Any]:
    """A model as the protocol describes it, with the versions that may be asked; -1 is the number of rows."""
    return {
        "name": model.record.name,
        "versions": list(versions) or [model.record.version],
        "platform": "mlops_assets",
        "inputs": [
            {
                "name": name,
                "datatype": kind.datatype,
                "shape": [-1, -1] if kind.listed else [-1],
                "parameters": {"optional": kind.optional},
            }
            for name, kind in kinds(model.request).items()
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in outputs(model).items()
        ],
    }
