"""The settings of the endpoint: where it listens, who may ask, and how much."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from resources import variables
from resources.addresses import is_loopback
from resources.serving_limits import DEADLINE_S, LARGEST_BATCH, LARGEST_BODY, VERSION_MB, WAIT_MS
from resources.watch_settings import WatchSettings

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of a machine's, and the one of them that is its own alone."""

Count = Annotated[int, BeforeValidator(variables.count)]


class ServingSettings(WatchSettings):
    """Each field is a variable, described as people read it; those of the whole project are in `resources.settings`."""

    serve_host: Annotated[str, BeforeValidator(variables.host)] = Field(
        default="127.0.0.1",
        validation_alias="MLOPS_SERVE_HOST",
        description="Address that the endpoint listens on. Where it is not this machine's own alone, as `0.0.0.0` in a container, it does not start without `MLOPS_SERVE_KEYS`.",
    )
    serve_port: Annotated[int, BeforeValidator(variables.port)] = Field(
        default=8000, validation_alias="MLOPS_SERVE_PORT", description="Port of the endpoint."
    )
    serve_page: str = Field(
        default="",
        validation_alias="MLOPS_SERVE_URL",
        repr=False,
        examples=["that port on 127.0.0.1, on a laptop"],
        description="Where people open the endpoint; asset pages link to it.",
    )
    serve_with: Annotated[Literal["process", "ray"], BeforeValidator(variables.server)] = Field(
        default="process",
        validation_alias="MLOPS_SERVE_WITH",
        description="What runs the endpoint: one plain `process`, or `ray` for Ray Serve; the state on disk is the same.",
    )
    serve_keys: Annotated[tuple[str, ...], NoDecode, BeforeValidator(variables.keys)] = Field(
        default=(),
        validation_alias="MLOPS_SERVE_KEYS",
        repr=False,
        examples=["none"],
        description="`NAME:HASH` of the keys that the endpoint may be asked with, commas between them, as `mlops key new NAME` prints them, see [keys](docs/serving.md#keys).",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(variables.hosts)] = Field(
        default=(),
        validation_alias="MLOPS_ALLOWED_HOSTS",
        examples=["none"],
        description="Names, with commas between them, by which the endpoint may be called beside `localhost`, `127.0.0.1` and `[::1]`.",
    )
    serve_max_bytes: Count = Field(
        default=LARGEST_BODY,
        validation_alias="MLOPS_SERVE_MAX_BYTES",
        description="Bytes that the body of a request may have; more is answered with 413.",
    )
    serve_max_rows: Count = Field(
        default=LARGEST_BATCH,
        validation_alias="MLOPS_SERVE_MAX_ROWS",
        description="Rows that a request for predictions may have; more is answered with 422.",
    )
    serve_deadline_s: Count = Field(
        default=DEADLINE_S,
        validation_alias="MLOPS_SERVE_DEADLINE_S",
        description="Seconds after which a request for predictions that is not answered gets 504.",
    )
    serve_wait_ms: Count = Field(
        default=WAIT_MS,
        validation_alias="MLOPS_SERVE_WAIT_MS",
        description="Milliseconds of work that may wait; a request beyond is answered with 503 and `Retry-After` at once, see [capacity](docs/serving.md#limits).",
    )

    serve_version_mb: Count = Field(
        default=VERSION_MB,
        validation_alias="MLOPS_SERVE_VERSION_MB",
        description="Mebibytes of data that the process of a version may hold which is not the one that answers; beyond it ends and is started again, see [versions](docs/serving.md#ask-a-version).",
    )

    serve_versions: Annotated[dict[str, str], NoDecode, BeforeValidator(variables.versions)] = Field(
        default={},
        validation_alias="MLOPS_SERVE_VERSIONS",
        examples=["none: the endpoint divides"],
        description="`MODEL=NUMBER`, commas between them, where a router in front of the endpoints divides a model's requests: whose requests come to this one while the model has a split, see [roll-outs](docs/rollouts.md#on-a-cluster).",
    )

    @property
    def exposed(self) -> bool:
        """Whether the endpoint listens on more than this machine's own address."""
        return not is_loopback(self.serve_host)

    @property
    def serve_address(self) -> str:
        """Where the endpoint is called from this machine."""
        host = EVERYWHERE.get(self.serve_host, self.serve_host)
        return f"http://{_in_url(host)}:{self.serve_port}"

    @property
    def serve_names(self) -> tuple[str, ...]:
        """The names by which it may be called: those that are allowed, the address that it listens on, and where people open it."""
        own = () if self.serve_host in EVERYWHERE else (_in_url(self.serve_host),)
        opened = urlsplit(self.serve_page).hostname
        return (*self.allowed_hosts, *own, *([_in_url(opened)] if opened else ()))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
