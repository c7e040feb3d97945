"""Whether anything is exported: by the standard variables of OpenTelemetry, and nothing without an address."""

import os

ENDPOINTS = {
    "traces": ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "logs": ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
}
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


class TelemetryError(Exception):
    """Variables of OpenTelemetry that cannot be followed: says which, the rule and the fix."""


def is_on(signal: str = "traces") -> bool:
    """Whether traces, or logs, have an address to go to and nobody has switched the SDK off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(os.environ.get(name) for name in ENDPOINTS[signal])


def refuse_other_protocols() -> None:
    """Raise TelemetryError where another protocol than OTLP over HTTP is asked for."""
    protocol = os.environ.get(PROTOCOL, "http/protobuf")
    if protocol != "http/protobuf":
        raise TelemetryError(
            f"{PROTOCOL}={protocol!r} is not spoken here: give http/protobuf, which collectors take on port 4318"
        )
