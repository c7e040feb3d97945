"""`mlops clean`: the state folder removed, and nothing that is not one.

Only the standard library is needed, so that `make clean` works where nothing is installed.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from resources.at_work import RUNS, SERVERS, alone, serving
from resources.command_errors import in_words
from resources.state_folder import PROJECT_ROOT, state_folder

PARTS = {
    *("audit", "cluster", "dagster", "feast", "keys", "lake", "logs", "migrated", "mlflow", "replay"),
    *("serving", "serving_log", "training", "alerts", "monitoring"),
    *(RUNS, SERVERS),
}
"""What a state folder holds; anything else in it is somebody's."""


class NotStateError(Exception):
    """A folder that is not removed, because it is not what this project made; says what is in it."""


def add(app: Any) -> None:
    """Add `clean` to the commands."""
    from mlops_assets.commands.task import command

    @command(app, "clean", writes=False)
    def clean() -> int:
        """remove the state folder, where nobody is at work on it"""
        return main()


def main() -> int:
    """Remove the state folder that the environment names; 1 where it is none or in use, with the reason."""
    home = state_folder()
    removed = remove(home)
    print(f"removed {home}" if removed else f"{home} does not exist: there is nothing to remove")
    return 0


def remove(home: Path) -> bool:
    """Remove a state folder; False where there is none. Raises NotStateError for any other folder, touching nothing."""
    if not home.exists():
        return False
    refuse_foreign(home)
    with alone(home, "its removal"), serving(home):
        for name in sorted(PARTS - {RUNS, SERVERS}):
            if (home / name).exists():
                shutil.rmtree(home / name)
    for lock in (RUNS, SERVERS):
        (home / lock).unlink(missing_ok=True)
    home.rmdir()
    return True


def refuse_foreign(home: Path) -> None:
    """Raise where a folder holds, or is, something else than state."""
    if not home.is_dir():
        raise NotStateError(f"MLOPS_HOME={home} is no folder: nothing is removed")
    for place, called in (
        (PROJECT_ROOT, "the project"),
        (Path.home(), "your home folder"),
        (Path.cwd(), "the folder you are in"),
    ):
        if place == home or home in place.parents:
            raise NotStateError(f"MLOPS_HOME={home} is or holds {called} ({place}): nothing is removed")
    foreign = sorted(
        {entry.name for entry in home.iterdir() if entry.is_symlink() or entry.name not in PARTS}
    )
    if foreign:
        raise NotStateError(
            f"MLOPS_HOME={home} holds {', '.join(foreign[:5])}{' and more' if len(foreign) > 5 else ''}, which this project does "
            f"not keep in its state: nothing is removed. Move it elsewhere, or name the right folder"
        )


if __name__ == "__main__":
    sys.exit(in_words(main))
