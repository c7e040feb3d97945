"""A server that speaks S3 on the loopback address, with an empty bucket."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from resources.storage.s3_server import client, started

BUCKET = "lake"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ALLOW_HTTP": "true",
}


def server(port: int = 0) -> Any:
    """The server, listening and serving, with an empty bucket."""
    one = started(port)
    client(one.server_port, "s3").create_bucket(Bucket=BUCKET)
    return one


def address(one: Any) -> str:
    """Where a server is."""
    return f"http://127.0.0.1:{one.server_port}"


@contextmanager
def served() -> Iterator[str]:
    """The address of a server with an empty bucket, which the AWS_ variables name for as long as it is up."""
    one = server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": address(one)}).items():
            patch.setenv(name, value)
        yield address(one)
    one.shutdown()


if __name__ == "__main__":
    up = server(int(sys.argv[1]))
    print(address(up), flush=True)
    threading.Event().wait(float(os.environ.get("S3_SERVER_S", "3600")))
