"""An object store as a file system of Arrow, for libraries that write there by themselves, as Ray does."""

from typing import Any

from pyarrow import PythonFile
from pyarrow.fs import FSSpecHandler, PyFileSystem


def object_system(**options: Any) -> PyFileSystem:
    """All buckets of a store, through the client that is used elsewhere.

    It keeps no objects that stand for folders, as Arrow's own does, which would be left when all in them is removed.
    """
    from obstore.fsspec import FsspecStore

    return PyFileSystem(_Handler(FsspecStore("s3", **options)))


class _Handler(FSSpecHandler):
    def open_output_stream(self, path: str, metadata: Any) -> PythonFile:
        return PythonFile(_Written(self.fs.open(path, mode="wb")), mode="w")


class _Written:
    """A file that is written: Arrow hands signed bytes over, and the client takes unsigned ones alone."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        return self._file.write(memoryview(content).cast("B"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
