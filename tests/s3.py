"""A server that speaks S3 on the loopback address, whose conditional puts are one step, as those of S3 are.

moto looks at If-None-Match and If-Match, and then puts, in two steps: two requests at once both pass the look. Here
requests that write are served one after the other, which makes the two steps one.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "lake"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ALLOW_HTTP": "true",
}


def _one_write_at_a_time(app: Any) -> Any:
    writing = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        with writing:
            return app(environ, start_response)

    return serve


def server(port: int = 0) -> Any:
    """The server, listening, with an empty bucket; `serve_forever` serves."""
    import boto3
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    app = _one_write_at_a_time(DomainDispatcherApplication(create_backend_app))
    one = make_server("127.0.0.1", port, app, True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    boto3.client("s3", endpoint_url=address(one), **_boto_keys()).create_bucket(Bucket=BUCKET)
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


def _boto_keys() -> dict[str, str]:
    return {
        "aws_access_key_id": "testing",
        "aws_secret_access_key": "testing",
        "region_name": "us-east-1",
    }


if __name__ == "__main__":
    up = server(int(sys.argv[1]))
    print(address(up), flush=True)
    threading.Event().wait(float(os.environ.get("S3_SERVER_S", "3600")))
