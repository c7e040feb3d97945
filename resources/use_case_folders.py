"""Where use cases lie: each folder with a `use_case.yaml`, those of the project and those that MLOPS_USE_CASES names."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).parent.parent / "mlops_assets" / "use_cases"
SHIPPED_PACKAGE = "mlops_assets.use_cases"
VARIABLE = "MLOPS_USE_CASES"
FILE = "use_case.yaml"
NAME = re.compile(r"[a-z][a-z0-9_]*")
TAKEN = "features"
"""What the folder of feature tables was called in a lake while there was one use case; `mlops migrate` looks for it."""
COMPONENTS = ("defs.yaml", "defs.yml", "component.yaml")


class UseCaseFolderError(Exception):
    """A folder that is named as a use case and is none."""


@dataclass(frozen=True)
class UseCaseFolder:
    """A folder whose name is that of a use case; `package` is how Python in it is imported."""

    path: Path
    package: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def file(self) -> Path:
        """The YAML file that says what holds for the whole use case."""
        return self.path / FILE

    @property
    def features(self) -> str | None:
        """Its own Feast package; None where it has none."""
        return f"{self.package}.features" if (self.path / "features" / "__init__.py").exists() else None

    @property
    def component_files(self) -> list[Path]:
        """The YAML files of tables and models, in order of their paths."""
        files = ((folder, name) for folder, _, names in os.walk(self.path) for name in names)
        return sorted(Path(folder, name) for folder, name in files if name in COMPONENTS)


def use_case_folders() -> list[UseCaseFolder]:
    """Every use case's folder, in order of name.

    A folder outside of the project is imported by its own name, so its parent is put on Python's path.

    Raises UseCaseFolderError for a name that cannot be one, a folder without its file, and two of one name.
    """
    shipped = [UseCaseFolder(file.parent, f"{SHIPPED_PACKAGE}.{file.parent.name}") for file in _shipped()]
    outside = [_outside(Path(path).expanduser()) for path in _given()]
    folders: dict[str, UseCaseFolder] = {}
    for folder in (*shipped, *outside):
        if (other := folders.setdefault(folder.name, folder)) is not folder:
            raise UseCaseFolderError(
                f"two use cases are called {folder.name!r}: {other.path} and {folder.path}; rename one of the folders"
            )
    return [folders[name] for name in sorted(folders)]


def use_case_folder(name: str) -> UseCaseFolder:
    """The folder of one use case.

    Raises UseCaseFolderError where there is none, with those that there are.
    """
    folders = {folder.name: folder for folder in use_case_folders()}
    if name not in folders:
        raise UseCaseFolderError(f"use case {name!r} does not exist; there are: {', '.join(folders)}")
    return folders[name]


def default_use_case() -> str:
    """The use case that is meant where none is named: the first of the project's own."""
    return _shipped()[0].parent.name


def _shipped() -> list[Path]:
    return sorted(SHIPPED.glob(f"*/{FILE}"))


def _given() -> list[str]:
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path.strip()]


def _outside(path: Path) -> UseCaseFolder:
    folder = path.resolve()
    if not (folder / FILE).is_file():
        raise UseCaseFolderError(
            f"{VARIABLE} names {path}, which has no {FILE}: name folders of use cases, with {os.pathsep!r} between them"
        )
    if not NAME.fullmatch(folder.name):
        raise UseCaseFolderError(
            f"{folder}: the folder's name is the use case's, and {folder.name!r} is none: lower-case letters, digits and _, "
            "a letter first"
        )
    if folder.name == TAKEN:
        raise UseCaseFolderError(
            f"{folder}: a use case cannot be called {TAKEN!r}, which is where an earlier release kept its feature tables: "
            "rename the folder"
        )
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))
    return UseCaseFolder(folder, folder.name)
