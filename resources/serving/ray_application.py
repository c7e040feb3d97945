"""The endpoint as an application of a Ray cluster that others keep: what `serveConfigV2` of a RayService names.

Ray's processes are started by the operator, so that each replica asks for the secret itself.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resources.serving.hosting import http_application, log_to_file
from resources.serving.ray_serve import bound, replica_listens_locally
from resources.settings import settings
from resources.state_folder import SettingsError
from resources.with_secrets import SECRET, environment

if TYPE_CHECKING:
    from fastapi import FastAPI


def application(arguments: Mapping[str, str]) -> Any:
    """Ray Serve's application; raises SettingsError for an argument, as variables of the pods say all."""
    if arguments:
        raise SettingsError(f"args={dict(arguments)}: leave it empty, and set variables of the pods")
    return bound(in_replica, ray_actor_options={"num_cpus": 1})


def in_replica() -> "FastAPI":
    """The HTTP application by the replica's own variables and secret; raises SettingsError where others could ask it without a key."""
    if os.environ.get(SECRET):
        os.environ.update(environment(os.environ))
    home = settings()
    if home.exposed and not home.serve_keys:
        raise SettingsError(
            f"MLOPS_SERVE_HOST={home.serve_host} opens the endpoint to others, and no key is set: make one by `mlops key new "
            "NAME` and put its hash into MLOPS_SERVE_KEYS"
        )
    if not home.exposed:
        replica_listens_locally()
    log_to_file(home.home / "logs" / "models.log")
    return http_application(home)
