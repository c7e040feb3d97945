# pyright: reportMissingImports=false
"""The epochs of `torch_tabular`. PyTorch is imported when a loop is made, because it is an extra.

Every epoch draws its order and its dropout from the seed, the epoch and the worker, so that a fit that was broken off
goes on as if it had not been.
"""

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.training.trainers.base import Arrays, Job, Worker, shares
from mlops_assets.ml.training.trainers.torch_network import OURS, Columns, TorchTabular

METRICS = {"classification": "logloss", "regression": "mae"}
LARGEST_EMBEDDING = 32
ROWS_A_LOOK = 8192


class Loop:
    """A network, its optimizer and this worker's rows, from the first epoch or from the last checkpoint."""

    def __init__(self, job: Job, worker: Worker, rows: Arrays, validation: Arrays | None) -> None:
        import torch

        assert isinstance(job.spec.trainer, TorchTabular)
        self.job, self.worker, self.trainer = job, worker, job.spec.trainer
        self.device = _device(gpu=self.trainer.gpu)
        self.metric = METRICS[job.spec.task]
        self.columns = Columns(job.encoding)
        self.constants = self._constants(rows)
        self.rows = self._tensors(rows)
        self.validation = self._tensors(validation) if validation else None
        self.most = int(_over_workers(worker, np.array([len(rows[1])], np.float64), "max")[0])
        self._seed(0)
        self.network = network(self.columns, self.trainer).to(self.device)
        self.model = self._shared(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), self.trainer.learning_rate, weight_decay=self.trainer.weight_decay
        )
        self.half = _half_precision(self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half is torch.float16)
        self.scores: list[float] = []
        self.done, self.samples, self.waited = 0, 0, 0.0
        self._best_state: dict[str, Any] = {}
        self._resume(worker.resume())

    def run(self) -> None:
        """Epochs up to the last one, or until the validation gains nothing for `early_stopping_rounds` of them."""
        while self.done < self.job.rounds and not self._stops():
            self._epoch()
            self.done += 1
            if self.validation is not None:
                self.scores.append(self._score())
                if self._best_round() == self.done:
                    self._best_state = self._state()
                self.worker.reached(self.done, lambda: self._packed(self._state()))
            if self.job.checkpoint_every and self.done % self.job.checkpoint_every == 0:
                self.worker.save(self._checkpoint)

    def best(self) -> tuple[bytes, int, dict[str, float]]:
        """The best epoch's model as safetensors, its number counted from 1, and each feature's share in its first layer."""
        state = self._best_state if self.scores else self._state()
        return self._packed(state), self._best_round() if self.scores else self.done, self._importance(state)

    def _packed(self, state: dict[str, Any]) -> bytes:
        from safetensors.torch import save

        ours = json.dumps(
            {"encoding": self.job.encoding.to_json(), "task": self.job.spec.task}, sort_keys=True
        )
        return save({**state, **self.constants}, metadata={OURS: ours})

    def _epoch(self) -> None:
        import torch

        self.model.train()
        self._seed(self.done + 1)
        for numbers, codes, labels in self._batches():
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
                out = self.model(numbers, codes)
                loss = self._loss(out.float(), labels)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.samples += len(labels) * self.worker.size

    def _batches(self) -> Iterator[tuple[Any, Any, Any]]:
        """Shuffled batches, as many on every worker: one with fewer rows gives some of them twice."""
        import torch

        there = len(self.rows[2])
        order = torch.randperm(there).repeat(-(-self.most // max(there, 1)))[: self.most]
        for first in range(0, self.most, self.trainer.batch_size):
            started = time.perf_counter()
            chosen = order[first : first + self.trainer.batch_size].to(self.rows[2].device)
            batch = tuple(part[chosen].to(self.device, non_blocking=True) for part in self.rows)
            self.waited += time.perf_counter() - started
            yield batch[0], batch[1], batch[2]

    def _score(self) -> float:
        """The metric over every worker's validation rows."""
        import torch

        assert self.validation is not None
        self.model.eval()
        total, rows = 0.0, len(self.validation[2])
        with torch.no_grad():
            for first in range(0, rows, ROWS_A_LOOK):
                part = slice(first, first + ROWS_A_LOOK)
                numbers, codes, labels = (t[part].to(self.device) for t in self.validation)
                total += float(self._lost(self.network(numbers, codes), labels))
        sums = _over_workers(self.worker, np.array([total, rows], np.float64), "sum")
        return float(sums[0] / sums[1])

    def _loss(self, out: Any, labels: Any) -> Any:
        from torch.nn import functional

        if self.job.spec.task == "classification":
            return functional.binary_cross_entropy_with_logits(out, labels)
        mean, scale = self.constants["label"].to(self.device)
        return functional.mse_loss(out, (labels - mean) / scale)

    def _lost(self, out: Any, labels: Any) -> Any:
        """The metric's sum: logarithmic loss, or absolute error in the label's own unit."""
        from torch.nn import functional

        if self.job.spec.task == "classification":
            return functional.binary_cross_entropy_with_logits(out, labels, reduction="sum")
        mean, scale = self.constants["label"].to(self.device)
        return (out * scale + mean - labels).abs().sum()

    def _constants(self, rows: Arrays) -> dict[str, Any]:
        """Mean and scale of every number and of the label, over the rows of all workers."""
        import torch

        numbers = self.columns.raw_numbers(rows[0])
        return {
            "numbers": torch.from_numpy(_mean_and_scale(self.worker, numbers)),
            "label": torch.from_numpy(_mean_and_scale(self.worker, rows[1][:, None])[:, 0].copy()),
        }

    def _tensors(self, rows: Arrays) -> tuple[Any, Any, Any]:
        """Inputs and labels, on the GPU where they fit in half of its free memory."""
        import torch

        mean, scale = self.constants["numbers"].numpy()
        numbers, missing = self.columns.numbers(rows[0], mean, scale)
        parts = (np.concatenate([numbers, missing], axis=1), self.columns.codes(rows[0]), rows[1].copy())
        tensors = tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
        if self.device.type == "cuda":
            fits = sum(t.nbytes for t in tensors) < torch.cuda.mem_get_info(self.device)[0] / 2
            tensors = tuple(t.to(self.device) if fits else t.pin_memory() for t in tensors)
        return tensors[0], tensors[1], tensors[2]

    def _shared(self, module: Any) -> Any:
        if self.worker.size == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, [self.device] if self.device.type == "cuda" else None)

    def _seed(self, epoch: int) -> None:
        import torch

        torch.manual_seed(
            (self.trainer.seed * 1_000_003 + epoch) * 1_009 + (self.worker.rank if epoch else 0)
        )

    def _state(self) -> dict[str, Any]:
        return {name: t.detach().cpu().clone() for name, t in self.network.state_dict().items()}

    def _best_round(self) -> int:
        return int(np.argmin(self.scores)) + 1

    def _stops(self) -> bool:
        patience = self.trainer.early_stopping_rounds
        return bool(self.scores) and len(self.scores) - self._best_round() >= patience

    def _checkpoint(self) -> bytes:
        import torch

        buffer = io.BytesIO()
        state = {"network": self._state(), "best": self._best_state, "scores": self.scores, "done": self.done}
        torch.save({**state, "optimizer": self.optimizer.state_dict()}, buffer)
        return buffer.getvalue()

    def _resume(self, checkpoint: bytes | None) -> None:
        import torch

        if checkpoint is None:
            return
        state = torch.load(io.BytesIO(checkpoint), map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scores, self.done = state["scores"], state["done"]
        self._best_state = {name: t.cpu() for name, t in state["best"].items()}

    def _importance(self, state: dict[str, Any]) -> dict[str, float]:
        """Share of the first layer's absolute weights that stands on each feature's inputs."""
        weights = state["layers.0.weight"].abs().sum(0).numpy()
        plain = len(self.columns.order) - len(self.columns.sizes)
        sums = list(weights[:plain] + weights[plain : 2 * plain])
        first = 2 * plain
        for size in self.columns.sizes:
            sums.append(weights[first : first + width(size)].sum())
            first += width(size)
        names = [self.job.features[i] for i in self.columns.order]
        return shares(dict(zip(names, map(float, sums), strict=True)), self.job.features)


@contextmanager
def kept_apart(threads: int) -> Iterator[None]:
    """So many threads for PyTorch, and its random numbers put back afterwards: the process does other things too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


def width(values: int) -> int:
    """How many numbers stand for a category of so many values."""
    return min(LARGEST_EMBEDDING, 1 + values // 2)


def network(columns: Columns, trainer: TorchTabular) -> Any:
    """The module: embeddings beside the numbers and their flags, hidden layers, one number out."""
    import torch
    from torch import nn

    class Tabular(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            plain = len(columns.order) - len(columns.sizes)
            self.embeddings = nn.ModuleList(nn.Embedding(n + 1, width(n)) for n in columns.sizes)
            widths = [2 * plain + sum(map(width, columns.sizes)), *trainer.hidden, 1]
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
            self.dropout = nn.Dropout(trainer.dropout)

        def forward(self, numbers: Any, codes: Any) -> Any:
            given = torch.cat([numbers, *(e(codes[:, i]) for i, e in enumerate(self.embeddings))], dim=1)
            for layer in list(self.layers)[:-1]:
                given = self.dropout(torch.relu(layer(given)))
            return self.layers[-1](given)[:, 0]

    return Tabular()


def _device(gpu: bool) -> Any:
    import torch

    if not gpu:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DatasetError(
            f"trainer.gpu=true, and PyTorch {torch.__version__} finds no CUDA: install the build for the driver"
        )
    from ray.train.torch import get_device

    return get_device()


def _half_precision(device: Any) -> Any:
    """The short number type that the device computes with: bfloat16 where it can, else float16; none on a CPU."""
    import torch

    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _mean_and_scale(worker: Worker, values: np.ndarray) -> np.ndarray:
    """Float32 [2, columns]: mean and standard deviation without the missing ones; 0 and 1 where there is nothing."""
    known = ~np.isnan(values)
    wide = np.where(known, values, 0).astype(np.float64)
    sums = _over_workers(worker, np.stack([known.sum(0), wide.sum(0)]), "sum")
    count = np.maximum(sums[0], 1)
    mean = sums[1] / count
    squares = _over_workers(worker, np.where(known, (wide - mean) ** 2, 0).sum(0), "sum")
    scale = np.sqrt(squares / count)
    return np.stack([mean, np.where(scale > 0, scale, 1)]).astype(np.float32)


def _over_workers(worker: Worker, values: np.ndarray, how: str) -> np.ndarray:
    """The sum or the maximum of float64 values over all workers."""
    if worker.size == 1:
        return values
    import torch
    from torch import distributed

    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    shared = torch.as_tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX if how == "max" else distributed.ReduceOp.SUM)
    return shared.cpu().numpy()
