"""`python -m resources.storage.s3_server PORT FOLDER`: a server that speaks S3 and Secrets Manager on the loopback address.

It is moto's, an emulator: it checks no key. What it holds is memory, so it is written to archives in the folder when the server is
asked to end, and read from there when it starts. moto looks at If-None-Match and If-Match, and then puts, in two steps:
two requests at once both pass the look. Here requests that write are served one after the other, which makes it one step.
"""

import io
import signal
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}


def one_write_at_a_time(app: Any) -> Any:
    """The application, whose writing requests wait for each other."""
    writing = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        with writing:
            return app(environ, start_response)

    return serve


def started(port: int = 0) -> Any:
    """The server, listening and serving in a thread of its own."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    app = one_write_at_a_time(DomainDispatcherApplication(create_backend_app))
    one = make_server(HOST, port, app, True, request_handler=MotoRequestHandler)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    return one


def client(port: int, service: str) -> Any:
    """boto3's client of a service of the server."""
    import boto3

    return boto3.client(service, endpoint_url=f"http://{HOST}:{port}", **KEYS)  # type: ignore[call-overload]


def read_back(s3: Any, folder: Path) -> None:
    """Put the objects of the archives in a folder, one a bucket."""
    for archive in sorted(folder.glob("[!.]*.tar")):
        s3.create_bucket(Bucket=archive.stem)
        with tarfile.open(archive) as packed:
            for one in packed:
                content: Any = packed.extractfile(one)
                s3.put_object(Bucket=archive.stem, Key=one.name, Body=content.read())


def written_down(folder: Path) -> None:
    """Write the objects of every bucket into an archive, which takes the place of the last one whole.

    They are taken from memory: by requests, a lake of gigabytes would take longer than whoever ends the server waits.
    """
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    folder.mkdir(parents=True, exist_ok=True)
    for bucket in s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.values():
        temporary = folder / f".{bucket.name}.tar"
        with tarfile.open(temporary, "w") as packed:
            for name, one in bucket.keys.items():
                content = one.value
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content))
        temporary.replace(folder / f"{bucket.name}.tar")


def main(port: int, folder: Path) -> int:
    """Serve until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = started(port)
    read_back(client(port, "s3"), folder)
    ended.wait()
    written_down(folder)
    server.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), Path(sys.argv[2])))
