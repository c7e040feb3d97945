"""What the tests take for a kustomization's objects is what kubectl builds of it."""

import json
import shutil
import subprocess

import pytest
import yaml

from tests.acceptance.kustomized import FOLDER
from tests.kustomizations import built


@pytest.mark.nightly
@pytest.mark.parametrize("folder", ["base", "team", "settings", "fits", "example/risk"])
def test_the_objects_are_those_that_kubectl_builds(folder: str):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: take 1.21 or newer; Debian's is older")
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, theirs = built(FOLDER / folder), yaml.safe_load_all(done.stdout)
    assert sorted(json.dumps(one, sort_keys=True) for one in ours) == sorted(
        json.dumps(one, sort_keys=True) for one in theirs
    )
