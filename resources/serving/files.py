"""The model files that deployment records name: below the records' folder alone, and only with the hash that they promise."""

import hashlib
from pathlib import Path

from resources.records.reader import RecordError


def contained(model_path: str, folder: Path) -> Path:
    """A record's model file in the folder of the records, also where that was copied or moved since it was written."""
    named, root = Path(model_path).resolve(), folder.resolve()
    if named.is_relative_to(root):
        return named
    moved = (root / "models" / named.name).resolve()
    if not (moved.is_relative_to(root) and moved.is_file()):
        raise RecordError(f"model_path {model_path!r} lies outside of {root}: publish the deployment again")
    return moved


def model_bytes(path: Path, expected: str) -> bytes:
    """A model file's content; a file that is missing or has another hash than the record promises is refused."""
    if not path.is_file():
        raise RecordError(f"model file {path} is missing: publish the deployment again")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected:
        raise RecordError(
            f"model file {path} has SHA-256 {sha256}, the record says {expected}: publish it again"
        )
    return content
