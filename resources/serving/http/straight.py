"""Plain predictions answered where they come in, on the connection: what every layer of the application would say, in one step.

The layers know the same and say the same: who has a key, which forms of requests were let through, how much may wait, what was
counted. Whatever they have not let through before, or would answer otherwise, is left to them.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.datastructures import Headers
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from resources.serving.http.admission import Admission, FullError
from resources.serving.http.guard import Known, form_of
from resources.serving.http.keys import Keyring
from resources.serving.http.lane import LARGEST, PATHS, asked_for
from resources.serving.http.metrics import GONE, OK, OVERLOADED, TOO_LATE, Meter, Outcome
from resources.serving.http.refusals import refused
from resources.serving.http.together import Parts, Question, Together
from resources.serving.live_models import LiveModels, Served, by_the_wall_clock
from resources.telemetry.trace_ids import trace_in

LOG = logging.getLogger(__name__)
STATUSES = {OK: 200, OVERLOADED: 503, TOO_LATE: 504}
RawHeaders = list[tuple[bytes, bytes]]
END = b"\r\n\r\n"
MOST_HEADS = 4_000
LONGEST_HEAD = 2_000
"""Bytes."""

MOST_REFUSALS = 1_000


class Sink(Protocol):
    """Where an answer goes."""

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], content: bytes) -> bool:
        """Send it; False where nobody is there any more."""
        ...

    def hand_on(self) -> None:
        """Let the application answer."""
        ...


@dataclass(frozen=True)
class Place:
    """A path at which a model is asked: the model's name, and as what it is counted."""

    path: str
    name: str
    route: str

    @property
    def counted(self) -> tuple[str, str]:
        return self.name, self.route


@dataclass(frozen=True)
class Head:
    """What is in front of a plain request's body: where it asks, its headers, how many bytes the body has, and the request's trace."""

    place: Place
    headers: RawHeaders
    length: int
    trace: str = ""


class Heads:
    """Heads of plain requests by their bytes: clients repeat them, and what is the same need not be taken apart again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def of(self, request: bytes) -> Head | None:
        """The head of a whole request; None for one that is not known, or is not the only thing that came."""
        end = request.find(END)
        head = self._known.get(request[:end])
        return head if head is not None and len(request) == end + len(END) + head.length else None

    def add(self, request: bytes, head: Head) -> None:
        """Remember the head of a request, if it came alone and may come again: a trace is another one each time; where there are many, all others are forgotten."""
        if head.trace:
            return
        end = request.find(END)
        if 0 < end < LONGEST_HEAD and len(request) == end + len(END) + head.length:
            if len(self._known) >= MOST_HEADS:
                self._known.clear()
            self._known[request[:end]] = head


class Straight:
    """Knows which requests are plain, and has them answered."""

    def __init__(
        self,
        models: LiveModels,
        together: Together,
        short: Admission,
        meter: Meter,
        known: Known,
        ring: Keyring | None,
        largest: int,
    ) -> None:
        """`short` lets in what `together` predicts."""
        self.models, self.together, self.meter = models, together, meter
        self._short, self._known, self._ring = short, known, ring
        self._largest = min(largest, LARGEST)
        self._places: dict[bytes, Place] = {}
        self.heads = Heads()
        self._dated: RawHeaders = []
        self._refusals: dict[tuple[int, int], bytes] = {}

    def prediction(self, url: bytes, headers: RawHeaders) -> "Prediction | None":
        """A request that was posted to an address; None where that is for the application."""
        place = self._places.get(url) or self._target(url)
        if place is None:
            return None
        form, size = form_of("POST", place.path, headers)
        if not size or size > self._largest or not self._known.has(form):
            return None
        return self.again(Head(place, headers, size, trace_in(headers)))

    def again(self, head: Head) -> "Prediction | None":
        """A request with a head of which no more is to be found out; None where it is for the application now."""
        model = self.models.served.get(head.place.name)
        if model is None or model.fast is None:
            return None
        if self._ring is not None and not self._ring.lets_in(Headers(raw=head.headers)):
            return None
        return Prediction(self, head, model)

    def refusal(self, head: Head, default_headers: RawHeaders) -> bytes | None:
        """All that is sent to a request with a known head that is turned away, which is counted; None where it is not."""
        model = self.models.served.get(head.place.name)
        if model is None or model.fast is None or (full := self.full()) is None:
            return None
        self.meter.turned_away(head.place.counted)
        if default_headers is not self._dated:
            self._dated, self._refusals = default_headers, {}
        figures = full.waiting_ms, full.allowed_ms
        content_sent = self._refusals.get(figures)
        if content_sent is None:
            headers, content = _refusal_parts(full)
            content_sent = written(STATUSES[OVERLOADED], (*default_headers, *headers), content)
            self._refusals[figures] = content_sent
        return content_sent

    def full(self) -> FullError | None:
        """What the next request is told, where it is turned away before anything of it is read."""
        return self._short.full() if self._short.is_full else None

    def _target(self, url: bytes) -> Place | None:
        if b"?" in url or b"%" in url or not url.isascii():
            return None
        path = url.decode()
        name = asked_for(path)
        if name not in self.models.served:
            return None
        before, behind = next(pair for pair in PATHS if path.startswith(pair[0]))
        return self._places.setdefault(url, Place(path, name, f"{before}{{name}}{behind}"))


class Prediction:
    """One request to one model."""

    __slots__ = ("_began", "_model", "_question", "_sink", "_straight", "head")

    def __init__(self, straight: Straight, head: Head, model: Served) -> None:
        self._straight, self.head, self._model = straight, head, model

    def ask(self, body: bytes, sink: Sink) -> None:
        """Have it answered, now or when those before it are; whatever comes of it goes to the sink."""
        straight, model = self._straight, self._model
        self._sink, self._began = sink, straight.meter.begin()
        try:
            if full := straight.full():
                return self._turned_away(full)
            arrived = straight.models.clock.now() if by_the_wall_clock(model) else None
            self._question = Question(model, body, arrived, trace=self.head.trace)
            self._question.tell, self._question.fail = self._tell, self._late
            straight.together.put(self._question)
        except FullError as full_meanwhile:
            self._turned_away(full_meanwhile)
        except Exception:
            LOG.exception("a request to %s goes through the application", self.head.place.name)
            self._hand_on()
        return None

    def _turned_away(self, full: FullError) -> None:
        self._end(OVERLOADED, _refusal_parts(full))

    def _tell(self, answer: Any) -> None:
        try:
            parts = None if answer is None else self._question.response(answer)
        except Exception:
            LOG.exception("an answer of %s cannot be written, and is asked for again", self.head.place.name)
            parts = None
        if parts is None:
            self._hand_on()
        else:
            self._end(OK, parts)

    def _hand_on(self) -> None:
        self._straight.meter.leave()
        self._sink.hand_on()

    def _late(self, why: TimeoutError) -> None:
        answer = refused(self.head.place.path, STATUSES[TOO_LATE], str(why))
        self._end(TOO_LATE, (answer.raw_headers, bytes(answer.body)))

    def _end(self, outcome: Outcome, parts: Parts) -> None:
        try:
            heard = self._sink.answer(STATUSES[outcome], *parts)
        except Exception:
            LOG.exception("an answer of %s cannot be sent", self.head.place.name)
            heard = False
        self._straight.meter.end(self.head.place.counted, outcome if heard else GONE, self._began)


def written(status: int, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> bytes:
    """An answer as it goes over the wire."""
    parts = [STATUS_LINE[status]]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    return b"".join((*parts, b"\r\n", content))


REFUSALS: dict[tuple[int, int], Parts] = {}
"""What is sent to those that are turned away, by the milliseconds that it tells."""


def _refusal_parts(full: FullError) -> Parts:
    figures = full.waiting_ms, full.allowed_ms
    parts = REFUSALS.get(figures)
    if parts is None:
        answer = full.answer("")
        parts = answer.raw_headers, bytes(answer.body)
        if len(REFUSALS) < MOST_REFUSALS:
            REFUSALS[figures] = parts
    return parts
