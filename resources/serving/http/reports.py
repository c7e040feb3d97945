"""Pages of drift reports as the lake keeps them, for a browser: read alone, and kept away from everything else of the endpoint.

A page is drawn by Evidently of rows of data, so whoever has no key, where keys are asked for, does not see it. It may run the
scripts that stand in it and nothing more: it has no origin, so that it reads no other page of the endpoint, asks nobody
and sends no form.
"""

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from resources.storage.contained import OutsideError
from resources.storage.errors import AbsentError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from resources.storage.storage import Storage

PATH = "/reports/{model}/drift/{partition}"
NAME = re.compile(r"\w[\w.:+-]*")
"""What a model's and a partition's name are made of: no part of a path leads elsewhere."""

BESIDE = re.compile(rb'<script src="(\w[\w.-]*)">')
"""A script that all pages of a model share, and that lies beside them."""

INLINE = re.compile(rb"<script\b[^>]*>(.*?)</script", re.DOTALL | re.IGNORECASE)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
KEPT_TO_ITSELF = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)


def mount(app: "FastAPI", lake: "Storage") -> "FastAPI":
    """Have an application show the pages of reports in a lake; gives it back."""

    @app.get(PATH, include_in_schema=False)
    def report(model: str, partition: str) -> Response:
        page = whole_page(lake, model, partition)
        headers = HEADERS | {"Content-Security-Policy": policy_of(page)}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    return app


def whole_page(lake: "Storage", model: str, partition: str) -> bytes:
    """The page of a partition with the script that it shares with others in it; a 404 says that there is none."""
    why = (
        f"there is no report on {model!r} {partition!r}: materialize {model}/drift of that partition by hand"
    )
    if not (NAME.fullmatch(model) and NAME.fullmatch(partition)):
        raise HTTPException(404, why)
    folder = lake.below(f"{model}/drift")
    try:
        page = folder.read(f"{partition}.html")
        shared = BESIDE.search(page)
        script = folder.read(shared[1].decode()) if shared else b""
    except (AbsentError, OutsideError) as error:
        raise HTTPException(404, why) from error
    return page[: shared.start()] + b"<script>" + script + page[shared.end() :] if shared else page


def policy_of(page: bytes) -> str:
    """What a browser lets a page do: run each script that stands in it, known by its hash."""
    digests = (hashlib.sha256(script.replace(b"\r\n", b"\n")).digest() for script in INLINE.findall(page))
    scripts = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    return KEPT_TO_ITSELF.format(scripts=scripts or "'none'")
