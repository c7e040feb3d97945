# pyright: reportMissingImports=false
"""The whole GPU path on a machine that has one: XGBoost on `cuda` and the network on one GPU, beside the same fits on the CPU.

Without a GPU it says so and measures nothing.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import save
from benchmarks.training import FEATURES, parcels, spec
from mlops_assets.ml.training.gpu import gpu_here

KINDS: dict[str, dict[str, Any]] = {
    "xgboost": {"kind": "xgboost", "parameters": {"max_depth": 8, "eta": 0.05}},
    "torch_tabular": {"kind": "torch_tabular", "batch_size": 8192, "hidden": [256, 128]},
}
ROUNDS = {"xgboost": 300, "torch_tabular": 5}
REPORTED = (
    "samples a second",
    "GPU busy share",
    "GPU memory MiB",
    "share of time waiting for input",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    options = parser.parse_args()
    if missing := lacking():
        print(f"not measured: {missing}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="gpu-bench-") as folder:
        files = parcels(Path(folder) / "rows", options.rows)
        found = {
            f"{kind} on {device}": measured(files, kind, device == "gpu")
            for kind in KINDS
            for device in ("cpu", "gpu")
        }
    show(found)
    ratios = {
        f"{kind}_gpu_vs_cpu": round(
            found[f"{kind} on gpu"]["seconds"] / found[f"{kind} on cpu"]["seconds"], 3
        )
        for kind in KINDS
    }
    print(save("gpu", {"rows": options.rows, **found}, ratios))
    return 0


def lacking() -> str:
    """What keeps the GPU path from running here, with the way out; empty where nothing does."""
    if not gpu_here():
        return "nvidia-smi shows no GPU on this machine"
    import torch
    import xgboost

    if not xgboost.build_info()["USE_CUDA"]:
        return "XGBoost is built without CUDA: pip uninstall xgboost-cpu, pip install xgboost"
    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no CUDA: install the build for this machine's driver"
    return ""


def measured(files: Any, kind: str, gpu: bool) -> dict[str, Any]:
    """One fit, the best score it reached, and how well it used the hardware."""
    from mlops_assets.ml.training.fit import Scorer, fit

    chosen = spec(ROUNDS[kind], **KINDS[kind], gpu=gpu, threads=os.cpu_count() or 1)
    fitted = fit(files, chosen, FEATURES)
    some = files.head(chosen, 1000)
    assert len(Scorer(fitted.model).predict(some)) == some.height
    history = next(iter(fitted.history.values()))
    return {
        "seconds": round(fitted.seconds, 2),
        "best validation score": round(min(history), 4),
        **{name: fitted.speed.get(name, "not measured") for name in REPORTED},
        **fitted.cost.rounded(),
    }


def show(found: dict[str, dict[str, Any]]) -> None:
    """The table on the screen, a line for each figure."""
    print(f"{'':<34}" + "".join(f"{name:>24}" for name in found))
    for figure in next(iter(found.values())):
        cells = (side[figure] for side in found.values())
        print(f"{figure:<34}" + "".join(f"{c:>24.4g}" if isinstance(c, float) else f"{c:>24}" for c in cells))


if __name__ == "__main__":
    raise SystemExit(main())
