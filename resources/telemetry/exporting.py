"""What is exported by this process: spans and log records in batches, by threads of their own."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resources.telemetry.switch import is_on, refuse_other_protocols

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

NAME = "mlops-assets"
LOGGERS = ("resources", "mlops_assets")
FLUSH_MS = 2000
"""So long work waits at its end for what it said to be taken; a collector that is away costs no more."""


class Telemetry:
    """The providers of one process, for as long as it lives."""

    def __init__(self, service: str) -> None:
        refuse_other_protocols()
        self._traces = _traces(service)
        self._logs = _logs(service) if is_on("logs") else None
        self._handler = Records(self._logs) if self._logs is not None else logging.NullHandler()
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._handler)

    @property
    def tracer(self) -> "Tracer":
        """What makes spans; they go nowhere where only logs have an address."""
        return self._traces.get_tracer(NAME)

    def flush(self) -> None:
        """Give what was said to the collector, waiting for seconds at most."""
        for provider in filter(None, (self._traces, self._logs)):
            provider.force_flush(FLUSH_MS)

    def shut_down(self) -> None:
        """Give what was said to the collector, and take nothing more."""
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)
        self.flush()
        for provider in filter(None, (self._traces, self._logs)):
            provider.shutdown()


class Records(logging.Handler):
    """Hands what loggers say to the collector, with the trace in which it was said."""

    def __init__(self, provider: "LoggerProvider") -> None:
        super().__init__()
        self._logger = provider.get_logger(NAME)

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as OpenTelemetry has it."""
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.context import get_current

        try:
            level = min(max(record.levelno, logging.DEBUG), logging.CRITICAL)
            number = SeverityNumber(level // 10 * 4 + 1)
            said = LogRecord(
                timestamp=int(record.created * 1e9),
                context=get_current(),
                severity_text=record.levelname,
                severity_number=number,
                body=record.getMessage(),
                attributes={"logger": record.name},
            )
            self._logger.emit(said)
        except (ValueError, TypeError, RuntimeError):
            self.handleError(record)


def telemetry(service: str) -> Telemetry | None:
    """The telemetry of this process, begun when it is first asked for; None where nothing is exported."""
    if not (is_on("traces") or is_on("logs")):
        return None
    pid = os.getpid()
    if pid not in _processes:
        _processes.clear()
        _processes[pid] = Telemetry(service)
    return _processes[pid]


def shut_down() -> None:
    """End the telemetry of this process, if there is any; asked for again, it begins anew."""
    if (ours := _processes.pop(os.getpid(), None)) is not None:
        ours.shut_down()


_processes: dict[int, Telemetry] = {}
"""That of this process; one that was forked begins anew, as threads are not forked."""


@contextmanager
def span_of(
    service: str, name: str, trace: str, attributes: Mapping[str, str | int | float]
) -> Iterator["Span | None"]:
    """Work as a span of a trace whose id is known, 32 hexadecimal digits, and given to the collector at its end."""
    ours = telemetry(service)
    if ours is None:
        yield None
        return
    try:
        with ours.tracer.start_as_current_span(name, _within(trace), attributes=dict(attributes)) as span:
            yield span
    finally:
        ours.flush()


def _within(trace: str) -> "Context":
    """The context of a trace that somebody else has begun; the parent of all its spans is named by the trace."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    begun = SpanContext(int(trace, 16), int(trace[:16], 16) or 1, True, TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(begun))


def _resource(service: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    named = os.environ.get("OTEL_SERVICE_NAME")
    return Resource.create({} if named else {"service.name": service})


def _traces(service: str) -> "TracerProvider":
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(resource=_resource(service))
    if is_on("traces"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _logs(service: str) -> "LoggerProvider":
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource=_resource(service))
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    return provider
