"""A stand-in for MLflow's registry: the calls that `resources/tracking/tracking.py` makes about versions, in memory.

Named so, and used by the interleaved changes alone; the same life on a real MLflow is in test_champion_changes.py.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Page(list[Any]):
    """What MLflow returns for a search."""

    token = None


class StandInMlflow:
    """One registered model with its versions, aliases and tags; model files are real."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.versions: dict[str, Any] = {}
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, str] = {}

    def register(self, content: bytes, file: str, tags: dict[str, str]) -> int:
        """A new version with its model file; returns its number."""
        number = str(len(self.versions) + 1)
        (self.folder / number).mkdir(parents=True)
        (self.folder / number / file).write_bytes(content)
        self.versions[number] = SimpleNamespace(
            name=self.name, version=number, run_id=f"run-{number}", tags=tags
        )
        return int(number)

    def get_model_version(self, name: str, number: str) -> Any:
        return self.versions[number]

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        if alias not in self.aliases:
            raise _missing(f"alias {alias} of {name}")
        return self.versions[self.aliases[alias]]

    def get_registered_model(self, name: str) -> Any:
        return SimpleNamespace(name=name, aliases=dict(self.aliases), tags=dict(self.tags))

    def search_model_versions(self, wanted: str, most: int, page_token: str | None = None) -> Page:
        return Page(self.versions.values())

    def search_registered_models(self, max_results: int, page_token: str | None = None) -> Page:
        return Page([self.get_registered_model(self.name)])

    def get_model_version_download_uri(self, name: str, number: str) -> str:
        return str(self.folder / number)

    def set_registered_model_alias(self, name: str, alias: str, number: str) -> None:
        self.aliases[alias] = number

    def set_model_version_tag(self, name: str, number: str, tag: str, value: str) -> None:
        self.versions[number].tags[tag] = value

    def set_registered_model_tag(self, name: str, tag: str, value: str) -> None:
        self.tags[tag] = value


def _missing(what: str) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    return MlflowException(f"{what} not found", error_code=RESOURCE_DOES_NOT_EXIST)
