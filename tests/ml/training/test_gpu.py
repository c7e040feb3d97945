"""A GPU's figures come from samples; without samples the report says that nothing was measured."""

import threading

from mlops_assets.ml.training.gpu import NOT_MEASURED, watched


def test_without_a_gpu_nothing_is_measured_and_the_report_says_so():
    with watched(gpu=False) as found:
        pass
    assert found == {"GPU busy share": NOT_MEASURED, "GPU memory MiB": NOT_MEASURED}


def test_samples_become_a_mean_share_and_a_peak(monkeypatch):
    monkeypatch.setattr("mlops_assets.ml.training.gpu.EVERY_S", 0.001)
    samples, enough = iter([(0.2, 900.0), (0.6, 1500.0), (0.4, 1000.0)]), threading.Event()

    def read():
        sample = next(samples, None)
        if sample is None:
            enough.set()
        return sample

    with watched(gpu=True, read=read) as found:
        assert enough.wait(10)
    assert abs(float(found["GPU busy share"]) - 0.4) < 1e-9
    assert found["GPU memory MiB"] == 1500


def test_a_sampler_that_fails_at_once_measures_nothing():
    with watched(gpu=True, read=lambda: None) as found:
        pass
    assert found["GPU busy share"] == NOT_MEASURED
