"""Names of the files in a folder of the lake, remembered for as long as nothing is written to it.

Whoever walks through the partitions of a table asks for their names at each of them.
"""

from resources.storage.storage import Storage

_KNOWN: dict[tuple[str, str], tuple[str, list[str]]] = {}
"""By the folder's address and the ending: the folder's mark when it was listed, and the stems."""


def stems(storage: Storage, folder: str, ending: str) -> list[str]:
    """Names in a folder that end so, without the ending, sorted."""
    key, mark = (storage.at(folder), ending), storage.folder_mark(folder)
    before = _KNOWN.get(key)
    if mark is not None and before is not None and before[0] == mark:
        return [*before[1]]
    names = sorted(name.removesuffix(ending) for name in storage.below(folder).names(ending=ending))
    if mark is not None:
        _KNOWN[key] = mark, names
    return [*names]
