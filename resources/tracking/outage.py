"""What is done while the tracking server is away: ask again for a bounded time, and tell how long it has been.

A call that failed half-way is made again as a whole, so whatever is called patiently must be safe to repeat. MLflow's own
retries are turned off: they repeat single requests, blindly for minutes, and may make a run or a version twice.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar

from resources.addresses import shown
from resources.tracking.versions import TrackingError

if TYPE_CHECKING:
    from tenacity import RetryCallState

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
PROBE_S = 5.0
HTTP_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""One attempt a request; a server that accepts a request and then says nothing for 30 s counts as away."""

P = ParamSpec("P")
R = TypeVar("R")


class TrackingAwayError(TrackingError):
    """The tracking server did not answer for as long as we were to wait."""


class Patient(Protocol):
    """What has an address and says for how many seconds it may be away."""

    patience_s: float

    @property
    def address(self) -> str: ...


S = TypeVar("S", bound=Patient)


def no_blind_retries() -> None:
    """Set MLflow's own retries, unless the environment sets them; before the first request."""
    for name, value in HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)


def patient(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make the method wait for a server that is away, up to the object's `patience_s`, and start over.

    Raises TrackingAwayError when that time is over; any other error is the method's own.
    """

    @wraps(method)
    def patiently(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        from tenacity import Retrying, retry_if_exception

        absence = _Absence(self)
        retrying = Retrying(
            retry=retry_if_exception(absence.goes_on),
            wait=absence.pause,
            stop=absence.is_too_long,
            before_sleep=absence.warn,
            retry_error_callback=absence.give_up,
            sleep=time.sleep,
        )
        return retrying(method, self, *args, **kwargs)

    return patiently


def is_away(error: BaseException, uri: str) -> bool:
    """Whether a call failed because nobody answered, rather than because of what was answered.

    MLflow turns some failures of the network into text, those of parallel transfers; then the server itself is asked.
    """
    if any(_is_network(link) for link in _chain(error)):
        return True
    is_server = uri.startswith(("http://", "https://"))
    return is_server and _is_untold(error) and not _answers(uri)


class _Absence:
    """How long a server is away, counted from the first call that found it so: a long call is no absence."""

    def __init__(self, tracking: Patient) -> None:
        self._tracking = tracking
        self._since: float | None = None
        self._where = f"MLflow at {shown(tracking.address)}"

    def goes_on(self, error: BaseException) -> bool:
        """Whether a call failed because of it."""
        if isinstance(error, TrackingError) or not is_away(error, self._tracking.address):
            return False
        self._since = time.monotonic() if self._since is None else self._since
        return True

    def pause(self, state: "RetryCallState") -> float:
        """Seconds until the next call: twice as many each time, up to what is left."""
        pause = min(FIRST_PAUSE_S * 2 ** (state.attempt_number - 1), LONGEST_PAUSE_S)
        return max(0.0, min(pause, self._left))

    def is_too_long(self, _: "RetryCallState") -> bool:
        return self._left <= 0

    def warn(self, state: "RetryCallState") -> None:
        from dagster import get_dagster_logger

        get_dagster_logger("tracking").warning(
            f"{self._where} has been away for {self._gone:.0f} s; asking again in {state.upcoming_sleep:.1f} s, for "
            f"{self._left:.0f} s more ({_reason(_error_of(state))})"
        )

    def give_up(self, state: "RetryCallState") -> NoReturn:
        error = _error_of(state)
        raise TrackingAwayError(
            f"{self._where} has been away for {self._gone:.0f} s, longest wait {self._tracking.patience_s:g} s "
            f"({_reason(error)}): start it again and repeat what failed, or give it longer with "
            f"MLOPS_MLFLOW_PATIENCE_S; what was logged is kept in this machine's spool and is delivered by the next run"
        ) from error

    @property
    def _gone(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def _left(self) -> float:
        return self._tracking.patience_s - self._gone


def _error_of(state: "RetryCallState") -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    return error


def _reason(error: BaseException) -> str:
    """What happened, in few words: the network's error by its name, which is short, else the first line."""
    network = next((type(link).__name__ for link in _chain(error) if _is_network(link)), None)
    return network or (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _is_network(error: BaseException) -> bool:
    """Refused, reset, cut off or timed out; and the answers 408, 429 and 5xx, which stand for a server behind."""
    from requests import exceptions as http

    gone = (http.ConnectionError, http.Timeout, http.RetryError, http.ChunkedEncodingError)
    return isinstance(error, gone) and not isinstance(error, http.SSLError)


def _is_untold(error: BaseException) -> bool:
    """Whether MLflow failed without an answer of the server."""
    from mlflow.exceptions import MlflowException, RestException

    return isinstance(error, MlflowException) and not isinstance(error, RestException)


def _answers(uri: str) -> bool:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_S)
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True
