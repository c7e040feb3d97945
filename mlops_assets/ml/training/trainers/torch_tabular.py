"""A network over a table: categories embedded, numbers normalised, missing ones flagged, some hidden layers.

Trained by PyTorch, with DistributedDataParallel on several workers and mixed precision on a GPU. Stored as
safetensors with its encoding in the header, and scored by numpy, so that serving needs neither PyTorch nor pickle.
"""

import json
import time
from collections.abc import Collection
from typing import Any

import numpy as np

from mlops_assets.ml.dataset import DatasetError, Encoding
from mlops_assets.ml.training.trainers.base import Job, Outcome, TrainedModel, TrainerKind, Worker
from mlops_assets.ml.training.trainers.torch_network import OURS, Columns, TorchTabular
from mlops_assets.spec.dimensions import Choices, Range
from mlops_assets.spec.model import ModelSpec

HEADER_BYTES = 8
NUMBER_TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64}


def recognises(model: bytes) -> bool:
    """Safetensors: the header's length in eight bytes, then the header, which is JSON."""
    return len(model) > HEADER_BYTES and model[HEADER_BYTES : HEADER_BYTES + 2] == b'{"'


def ray_trainer(spec: ModelSpec) -> Any:
    from ray.train.torch import TorchTrainer

    return TorchTrainer


def train(job: Job, worker: Worker) -> Outcome:
    from mlops_assets.ml.training.trainers.torch_loop import Loop, kept_apart

    started = time.perf_counter()
    rows, validation = job.arrays(worker)
    read = time.perf_counter()
    with kept_apart(job.spec.trainer.threads):
        loop = Loop(job, worker, rows, validation)
        built = time.perf_counter()
        loop.run()
        ended = time.perf_counter()
    model, rounds, weights = loop.best()
    return Outcome(
        model=model,
        rounds=rounds,
        history={f"validation_{loop.metric}": loop.scores} if loop.scores else {},
        importance=weights,
        phases={"read": read - started, "set up": built - read, "epochs": ended - built},
        speed={
            "samples a second": loop.samples / (ended - built),
            "share of time waiting for input": (read - started + loop.waited) / (ended - started),
        },
    )


class Model(TrainedModel):
    """The network's forward pass in numpy, and the encoding its file carries."""

    def __init__(self, model: bytes, threads: int = 1, code: Collection[str] = ()) -> None:
        header, tensors = read_safetensors(model)
        if OURS not in header:
            raise DatasetError(
                "the model carries no encoding: it was not written by mlops_assets.ml.training.fit.fit"
            )
        ours = json.loads(header[OURS])
        self._tensors = tensors
        self.encoding = Encoding.from_json(ours["encoding"])
        self.task: str = ours["task"]
        self.columns = Columns(self.encoding)

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        given, layer = self._inputs(matrix), 0
        while f"layers.{layer}.weight" in self._tensors:
            given = np.maximum(given, 0) if layer else given
            given = given @ self._tensors[f"layers.{layer}.weight"].T + self._tensors[f"layers.{layer}.bias"]
            layer += 1
        out = given[:, 0].astype(np.float64)
        if self.task == "classification":
            return 0.5 * (1 + np.tanh(out / 2))
        mean, scale = self._tensors["label"]
        return out * float(scale) + float(mean)

    def _inputs(self, matrix: np.ndarray) -> np.ndarray:
        mean, scale = self._tensors["numbers"]
        numbers, missing = self.columns.numbers(matrix, mean, scale)
        codes = self.columns.codes(matrix)
        embedded = [self._tensors[f"embeddings.{i}.weight"][codes[:, i]] for i in range(codes.shape[1])]
        return np.concatenate([numbers, missing, *embedded], axis=1)


def read_safetensors(content: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """A safetensors file's metadata and tensors by name; https://github.com/huggingface/safetensors has the format."""
    length = int.from_bytes(content[:HEADER_BYTES], "little")
    header: dict[str, Any] = json.loads(content[HEADER_BYTES : HEADER_BYTES + length])
    data = memoryview(content)[HEADER_BYTES + length :]
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, described in header.items():
        first, last = described["data_offsets"]
        flat = np.frombuffer(data[first:last], NUMBER_TYPES[described["dtype"]])
        tensors[name] = flat.reshape(described["shape"])
    return metadata, tensors


TRAINER = TrainerKind(
    spec=TorchTabular,
    space={
        "learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "weight_decay": Range(low=1e-6, high=1e-2, log=True),
        "dropout": Range(low=0, high=0.5),
        "batch_size": Choices(choices=[256, 512, 1024, 2048]),
        "hidden": Choices(choices=[[64], [128, 64], [256, 128], [256, 128, 64]]),
    },
    file="model.safetensors",
    scorer=Model,
    recognises=recognises,
    train=train,
    ray_trainer=ray_trainer,
    distributed=True,
    gpu=True,
    icon="pytorch",
    libraries={"torch": ("torch",), "safetensors": ("safetensors",)},
    needs=("torch", "safetensors"),
    install="pip install 'mlops-assets[torch]'",
)
