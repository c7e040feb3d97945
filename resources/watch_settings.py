"""The settings of what tells people: alerts, the exporter for Prometheus, and what `make monitoring` starts."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings

from resources import variables

Port = Annotated[int, BeforeValidator(variables.port)]


class WatchSettings(BaseSettings):
    """Each field is a variable, described as people read it; those of the whole project are in `resources.settings`."""

    alerts_file: Annotated[Path | None, BeforeValidator(variables.path)] = Field(
        default=None,
        validation_alias="MLOPS_ALERTS",
        examples=["none: alerts are listed, and nobody is told"],
        description="YAML file that says to whom [alerts](docs/alerts.md) go; addresses are in variables that it names.",
    )
    metrics_host: Annotated[str, BeforeValidator(variables.host)] = Field(
        default="127.0.0.1",
        validation_alias="MLOPS_METRICS_HOST",
        description="Address that the exporter listens on; another than this machine's own needs keys (`MLOPS_SERVE_KEYS`).",
    )
    metrics_port: Port = Field(
        default=9464,
        validation_alias="MLOPS_METRICS_PORT",
        description="Port of the [exporter](docs/metrics.md#metrics-of-the-models) that `mlops metrics` starts.",
    )
    prometheus_port: Port = Field(
        default=9090,
        validation_alias="MLOPS_PROMETHEUS_PORT",
        description="Port of the Prometheus that `make monitoring` starts.",
    )
    alertmanager_port: Port = Field(
        default=9093,
        validation_alias="MLOPS_ALERTMANAGER_PORT",
        description="Port of the Alertmanager that `make monitoring` starts.",
    )
