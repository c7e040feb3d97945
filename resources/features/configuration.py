"""Feast's settings of a feature repository: its feature_store.yaml with this state folder's places filled in."""

import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from resources.addresses import revealed
from resources.features.feature_repository import FeatureStoreError, folder_of_repository
from resources.features.repository import TEMPLATE, Given, Repository
from resources.yaml_files import YamlError, complaint, read_yaml

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

FILE = "feature_store.yaml"
REDIS = "feature_repo.online_store.redis.store.BulkRedisOnlineStore"


def configuration(
    repository: Given, home: str, online_store: str = "", offline_engine: str = "local", registry: str = ""
) -> "RepoConfig":
    """The repository's feature_store.yaml with `home` as the folder of registry and online store.

    With `online_store` (`redis://host:port/db`) the online features are in that Redis instead. `offline_engine`
    says where historical features are joined: `local` or `ray`. `registry` is the address of a database for the registry.
    """
    from feast.repo_config import RepoConfig
    from pydantic import ValidationError

    template = _template(repository)
    text = template.read_text(encoding="utf-8")
    redis = connection_string(revealed(online_store))
    content = filled(repository, home, redis, offline_engine, revealed(registry))
    try:
        config = RepoConfig(repo_path=template.parent, **content)
        _ = config.registry, config.offline_store, config.online_store  # read when they are asked for
    except ValidationError as error:
        raise FeatureStoreError(complaint(error, text, template, content)) from error
    return config


def filled(
    repository: Given, home: str, redis: str = "", offline_engine: str = "local", registry: str = ""
) -> dict[str, Any]:
    """The content of feature_store.yaml with its places filled in; `redis` is Feast's way to write its address."""
    template = _template(repository)
    given = {"MLOPS_FEAST": home, "MLOPS_OFFLINE_ENGINE": offline_engine}
    content = _filled(_settings(template.read_text(encoding="utf-8"), template), given)
    if project := Repository.of(repository).project:
        content["project"] = project
    if redis:
        content["online_store"] = {"type": REDIS, "connection_string": redis}
    if registry:
        content["registry"] = {"registry_type": "sql", "path": registry, "cache_ttl_seconds": 0}
    return content


def _template(repository: Given) -> Path:
    package = Repository.of(repository).package
    own = folder_of_repository(package or TEMPLATE) / FILE
    return own if own.exists() else folder_of_repository(TEMPLATE) / FILE


def _settings(text: str, file: Path) -> dict[str, Any]:
    try:
        content = read_yaml(text, file)
    except YamlError as error:
        raise FeatureStoreError(str(error)) from error
    if not isinstance(content, dict):
        raise FeatureStoreError(f"{file}:1: holds {content!r}: give Feast's settings, at least a project")
    return content


def _filled(content: Any, given: Mapping[str, str]) -> Any:
    """The content with its variables filled in, after it was read as YAML, so that a path may have any sign."""
    if isinstance(content, dict):
        return {name: _filled(value, given) for name, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, given) for value in content]
    if not isinstance(content, str):
        return content
    escaped = {name: value.replace("%", "%25").replace("?", "%3F") for name, value in given.items()}
    return string.Template(content).safe_substitute(escaped if "://" in content else given)


def connection_string(address: str) -> str:
    """Feast's way to write a Redis address: `redis://:secret@host:6379/2` is `host:6379,db=2,password=secret`; "" is ""."""
    if not address:
        return ""
    parts = urlsplit(address)
    extras = {"db": parts.path.strip("/"), "username": parts.username, "password": parts.password}
    given = [f"{name}={unquote(value)}" for name, value in extras.items() if value]
    secured = ["ssl=true"] if parts.scheme == "rediss" else []
    return ",".join([f"{parts.hostname}:{parts.port}", *given, *secured])
