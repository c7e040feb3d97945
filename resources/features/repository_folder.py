"""A use case's feature repository as a folder for the stock `feast` command: settings, description, and one module.

It holds what is registered, no more and no less, so that `feast apply` in it changes nothing, and `feast serve` answers
from the same stores. A password is not written down: the settings name the variable that must have it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from resources.addresses import revealed
from resources.features.configuration import FILE, connection_string, filled
from resources.features.feature_repository import folder_of_repository, kind, rooted
from resources.features.repository import TEMPLATE, Given, Repository
from resources.storage.durable import write_text

MODULE, SAID = "definitions.py", "repository.json"
PASSWORD, REGISTRY = "MLOPS_REDIS_PASSWORD", "MLOPS_FEAST_REGISTRY"

TEXT = '''"""Feast's objects of {project}, as the platform registers them. Written anew by it: change the use case, not this."""

import sys
from pathlib import Path

sys.path += [path for path in {paths!r} if path not in sys.path]

from resources.features.repository_folder import objects_in  # noqa: E402

globals().update(objects_in(Path(__file__).parent))
'''


def write_folder(
    folder: Path,
    repository: Given,
    lake_root: str,
    home: str,
    online_store: str = "",
    offline_engine: str = "local",
    registry: str = "",
) -> None:
    """Write the folder; a file that would stay as it is is not touched."""
    given = Repository.of(repository)
    named = f"${{{REGISTRY}}}" if registry else ""
    content = filled(given, home, _without_password(online_store), offline_engine, named)
    paths = dict.fromkeys([_found_in(TEMPLATE), *([_found_in(given.package)] if given.package else [])])
    _write(folder / FILE, _yaml(content))
    _write(folder / SAID, _json(lake_root, given))
    _write(folder / MODULE, TEXT.format(project=content["project"], paths=[str(path) for path in paths]))


def objects_in(folder: Path) -> Mapping[str, Any]:
    """Feast's objects of a written folder, rooted in its lake, by names that a module may give them."""
    said = json.loads((folder / SAID).read_text(encoding="utf-8"))
    objects = rooted(Repository.model_validate(said["repository"]), said["lake"])
    return {f"{kind(thing)}_{thing.name}": thing for thing in objects}


def _json(lake_root: str, repository: Repository) -> str:
    content = {"lake": lake_root, "repository": repository.model_dump(mode="json")}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _yaml(content: Mapping[str, Any]) -> str:
    import yaml

    said = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    needs = f"# {PASSWORD}: the password of the Redis below, to be set before `feast` is called\n"
    return needs * (PASSWORD in said) + said


def _without_password(online_store: str) -> str:
    """Feast's way to write the address of a Redis, with a variable in the place of its password."""
    address = urlsplit(revealed(online_store))
    if not address.password:
        return connection_string(revealed(online_store))
    named = address._replace(netloc=address.netloc.replace(f":{address.password}@", f":{PASSWORD}@"))
    return connection_string(urlunsplit(named)).replace(f"password={PASSWORD}", f"password=${{{PASSWORD}}}")


def _found_in(package: str) -> Path:
    """The folder from which a package is imported."""
    depth = package.count(".") + 1
    return folder_of_repository(package).parents[depth - 1]


def _write(file: Path, text: str) -> None:
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)
