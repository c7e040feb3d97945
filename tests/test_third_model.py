"""What docs/third-model.md says of its file and of mistakes in it; `tests/acceptance/test_third_model_followed.py` runs its commands."""

import re

import pytest
import yaml

from mlops_assets.components.use_case import UseCaseError
from resources.settings import PROJECT_ROOT
from tests.models_folder import models_folder, project, specs

PAGE = (PROJECT_ROOT / "docs" / "third-model.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
MISTAKES = re.findall(r"^\| `([^|]+)` \| `([^|]+)` \| `([^|]+)` \|$", PAGE, re.MULTILINE)
pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]


def test_the_page_holds_one_model_and_eleven_mistakes():
    assert YAML.startswith("type: mlops_assets.components.model.ModelComponent")
    assert len(MISTAKES) == 11


def test_every_field_of_the_file_is_explained():
    attributes = yaml.safe_load(YAML)["attributes"]
    explained = set(re.findall(r"`([a-z_.]+)`", "\n".join(re.findall(r"^\| (.+?) \|", PAGE, re.MULTILINE))))
    missing = [
        name
        for name, value in attributes.items()
        if name not in explained
        and not (isinstance(value, dict) and all(f"{name}.{part}" in explained for part in value))
    ]
    assert missing == []


def test_the_file_loads_beside_the_shipped_models(tmp_path):
    tree = models_folder(tmp_path, long_delay=YAML)
    assert specs(tree)["long_delay"].label.above == 60
    whole = project(tree).get_repository_def()
    assert {f"long_delay_{job}" for job in ("partition", "retrain")} <= set(whole.job_names)
    sensors = {sensor.name for sensor in whole.sensor_defs}
    named = set(re.findall(r"^- `(\w+)` makes a run", PAGE, re.MULTILINE))
    assert named == {name for name in sensors if "long_delay" in name}
    stages = re.search(r"It has nine assets: (.*?)\.\n", PAGE, re.DOTALL)
    assert stages
    keys = {key.to_user_string() for key in whole.asset_graph.get_all_asset_keys()}
    told = {f"long_delay/{stage}" for stage in re.findall(r"`(\w+)`", stages[1])}
    assert told == {key for key in keys if key.startswith("long_delay/")}


@pytest.mark.parametrize(("written", "instead", "said"), MISTAKES)
def test_a_mistake_is_answered_with_the_pages_words(tmp_path, written, instead, said):
    assert instead in YAML
    with pytest.raises(UseCaseError) as caught:
        models_folder(tmp_path, long_delay=YAML.replace(instead, written))
    answer = str(caught.value)
    assert "long_delay/defs.yaml:" in answer
    for words in said.split("` `"):
        assert words in answer
