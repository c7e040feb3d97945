"""The benchmark of the GPU path: what it says without a GPU, and its whole way with the CPU standing in for one."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import gpu, report
from mlops_assets.ml.training.gpu import gpu_here


@pytest.mark.skipif(gpu_here(), reason="this machine has a GPU: run python -m benchmarks.gpu")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 1
    assert "not measured: nvidia-smi shows no GPU on this machine" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_its_way_is_whole_with_the_cpu_in_the_place_of_the_gpu(tmp_path: Path, monkeypatch, capsys):
    """A stand-in: every fit runs on the CPU, so only what is around the fits is proven."""
    pytest.importorskip("torch", reason="pip install 'mlops-assets[torch]'")
    pytest.importorskip("safetensors", reason="pip install 'mlops-assets[torch]'")
    measured = gpu.measured
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu", "--rows", "8000"])
    monkeypatch.setattr(gpu, "ROUNDS", {"xgboost": 3, "torch_tabular": 1})
    monkeypatch.setattr(gpu, "lacking", lambda: "")
    monkeypatch.setattr(gpu, "measured", lambda files, kind, _: partial(measured, gpu=False)(files, kind))
    assert gpu.main() == 0
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert set(kept["ratios"]) == {"xgboost_gpu_vs_cpu", "torch_tabular_gpu_vs_cpu"}
    found = kept["figures"]["torch_tabular on gpu"]
    assert found["samples a second"] > 0 and found["GPU busy share"] == "not measured"
    table = capsys.readouterr().out
    assert "GPU busy share" in table and "not measured" in table
