"""What a client library for the Open Inference Protocol gets from an endpoint: run by a Python that has tritonclient, prints JSON."""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def tensors(distances, leaves_at, binary):
    made = [
        triton.InferInput("distance", [len(distances)], "FP64"),
        triton.InferInput("leaves_at", [len(distances)], "BYTES"),
    ]
    made[0].set_data_from_numpy(np.array(distances, np.float64), binary_data=binary)
    made[1].set_data_from_numpy(np.array([leaves_at] * len(distances), np.object_), binary_data=binary)
    return made


def main(address, leaves_at):
    client = triton.InferenceServerClient(address)
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model": client.is_model_ready("trips"),
        "version": client.is_model_ready("trips", "1"),
        "other": client.is_model_ready("trips", "7"),
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata("trips"),
    }
    for binary in (True, False):
        asked = None if binary else [triton.InferRequestedOutput("value", binary_data=False)]
        reply = client.infer(
            "trips", tensors([1.0, 2.5], leaves_at, binary), outputs=asked, request_id="mine"
        )
        told[f"values {binary}"] = reply.as_numpy("value").tolist()
        told[f"id {binary}"] = reply.get_response()["id"]
        if binary:
            told["as_of"] = [text.decode() for text in reply.as_numpy("as_of")]
    try:
        client.infer("trips", tensors([1.0], leaves_at, True)[:1])
    except InferenceServerException as error:
        told["error"] = [error.status(), error.message()]
    print(json.dumps(told))


main(*sys.argv[1:])
