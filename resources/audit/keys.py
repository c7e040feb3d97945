"""The keys that seal the audit log: a file with one key a line, oldest first, that nobody else may read.

A key is 32 bytes from the system's random source, written as hex. Its id is derived from it, so that an entry can name
its key without telling anything of it. Keys are never shown: `repr` gives the id alone.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from resources.audit.errors import AuditKeyError
from resources.storage.durable import flush_folder, make_folder

OTHERS = 0o027
"""Rights that a key file must not give: to write for its group, and any for everybody."""


@dataclass(frozen=True)
class Key:
    """One key; `id` is the first 16 digits of a hash of it."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return hashlib.sha256(b"mlops audit key\0" + self.secret).hexdigest()[:16]

    def seal(self, what: str, digest: str) -> str:
        """HMAC-SHA256 of a digest in hex; `what` keeps the seal of an entry from standing for that of a head."""
        return hmac.new(self.secret, f"mlops audit {what}\0{digest}".encode(), hashlib.sha256).hexdigest()

    def fits(self, what: str, digest: str, seal: str) -> bool:
        """Whether a seal was made with this key."""
        return hmac.compare_digest(self.seal(what, digest), seal)


@dataclass(frozen=True)
class KeyFile:
    """Where the keys lie: below MLOPS_HOME, or where a secret store has put them."""

    path: Path

    def load(self) -> dict[str, Key]:
        """Keys by id, oldest first; raises AuditKeyError where the file is missing, open to others or no list of keys."""
        try:
            with self.path.open("rb") as handle:
                self._refuse_open(os.fstat(handle.fileno()).st_mode)
                lines = handle.read().decode("ascii", errors="replace").splitlines()
        except FileNotFoundError:
            raise AuditKeyError(
                f"the key of the audit log, {self.path}, is missing: put it back from a copy, or name the file with "
                f"MLOPS_AUDIT_KEY_FILE. A new key is made for an empty log only, and nothing is read or recorded without it"
            ) from None
        except PermissionError:
            raise AuditKeyError(
                f"the key of the audit log, {self.path}, cannot be read by this account: run as the one that owns it"
            ) from None
        wrong = next((n for n, line in enumerate(lines, 1) if not re.fullmatch("[0-9a-f]{64}", line)), None)
        if wrong or not lines:
            raise AuditKeyError(
                f"{self.path}: line {wrong or 1} is no key: a key is 64 hexadecimal digits on a line of its own"
            )
        keys = [Key(bytes.fromhex(line)) for line in lines]
        return {key.id: key for key in keys}

    def create(self) -> dict[str, Key]:
        """The keys, the first one made where the file is not there yet; for an empty log only."""
        if not self.path.exists():
            self._write([secrets.token_hex(32)], os.link)
        return self.load()

    def add(self) -> Key:
        """Make one more key and write it behind the others."""
        keys, key = self.load(), Key(secrets.token_bytes(32))
        try:
            self._write([k.secret.hex() for k in (*keys.values(), key)], os.replace)
        except OSError as error:
            raise AuditKeyError(
                f"no key can be added to {self.path} ({error.strerror}): add a line with 64 random hexadecimal digits "
                f"where that file is kept, for instance from `openssl rand -hex 32`, and rotate again"
            ) from error
        return key

    def _write(self, lines: list[str], place: Callable[[Path, Path], None]) -> None:
        make_folder(self.path.parent)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.{os.getpid()}.tmp")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            place(temporary, self.path)
        except FileExistsError:
            return
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(self.path.parent)

    def _refuse_open(self, mode: int) -> None:
        if mode & OTHERS:
            raise AuditKeyError(
                f"the key of the audit log, {self.path}, has mode {mode & 0o777:o}: others may read or change it; "
                f"`chmod 600 {self.path}`, and rotate if somebody may have read it"
            )
