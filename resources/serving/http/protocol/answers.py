"""Answers of a model as tensors: in JSON, or as bytes behind it where that is asked for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from resources.records.deployment import Deployment
from resources.serving.http.bodies import refuse
from resources.serving.http.protocol.forms import InferRequest
from resources.serving.http.protocol.tensors import to_bytes


def as_bytes(request: InferRequest, known: Mapping[str, str]) -> dict[str, bool]:
    """Each tensor that is to be answered, and whether as bytes; raises the answer 422 for one that the model does not have."""
    alike = request.parameters.binary_data_output
    if not request.outputs:
        return dict.fromkeys(known, alike)
    refuse(
        {
            "type": "value_error",
            "loc": ("body", "outputs", index, "name"),
            "msg": f"{one.name[:60]!r} is no output of this model: it has {', '.join(known)}",
        }
        for index, one in enumerate(request.outputs)
        if one.name not in known
    )
    forms = {one.name: one.parameters.binary_data for one in request.outputs}
    return {name: alike if how is None else how for name, how in forms.items()}


def response(
    request: InferRequest,
    record: Deployment,
    answers: Sequence[Mapping[str, Any]],
    known: Mapping[str, str],
) -> Response:
    """The answers to the rows of a request; `known` has the datatype of each tensor that the model answers."""
    outputs, behind = [], []
    for output, binary in as_bytes(request, known).items():
        values = [_value(answer, output) for answer in answers]
        tensor = {"name": output, "datatype": known[output], "shape": [len(values)]}
        if binary:
            behind.append(to_bytes(known[output], values))
            outputs.append({**tensor, "parameters": {"binary_data_size": len(behind[-1])}})
        else:
            outputs.append({**tensor, "data": values})
    said = {"id": request.id} if request.id is not None else {}
    document = {"model_name": record.name, **_versions(record.version, answers), **said, "outputs": outputs}
    return _response(document, behind)


def _versions(version: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which version answered; where rows were divided among two, that of each, and why one that was drawn gave no answer."""
    by_row = [answer["version"] for answer in answers]
    fallback = next((answer["fallback"] for answer in answers if "fallback" in answer), None)
    more = {"versions": ",".join(by_row)} if len(set(by_row)) > 1 else {}
    if fallback:
        more["fallback"] = "version {version} gave no answer ({kind}): {why}".format(**fallback)
    only = by_row[0] if len(set(by_row)) == 1 else version
    return {"model_version": only, **({"parameters": more} if more else {})}


def _response(document: Mapping[str, Any], behind: Sequence[bytes]) -> Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if not behind:
        return Response(text, media_type="application/json")
    headers = {"Inference-Header-Content-Length": str(len(text))}
    return Response(b"".join([text, *behind]), 200, headers, "application/octet-stream")


def _value(answer: Mapping[str, Any], output: str) -> Any:
    """Of what an answer holds, the part that an output has; warnings are one text, empty where there is none."""
    return "; ".join(answer.get("warnings", ())) if output == "warnings" else answer[output]
