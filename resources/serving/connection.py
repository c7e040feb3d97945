"""A connection on which uvicorn speaks HTTP, and on which plain predictions are answered without a task and an application around them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from resources.serving.http.lane import TRIED
from resources.serving.one_write import OneWrite

if TYPE_CHECKING:
    from resources.serving.http.straight import Prediction, Straight

LOG = logging.getLogger(__name__)
CLOSE = b"connection: close\r\n"


class Connection(OneWrite):
    """HTTP as uvicorn speaks it, over a transport that joins head and body; the application's state says what is plain."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        state = getattr(self.app, "state", None)
        as_it_is = not (self.access_log or self.root_path)
        self._straight: Straight | None = getattr(state, "straight", None) if as_it_is else None
        self._between, self._came = True, b""

    def data_received(self, data: bytes) -> None:
        """Bytes come: a whole plain request whose head is known is answered without taking it apart, all else is parsed."""
        if self._straight is None:
            return super().data_received(data)
        rests = self._rests() and self._between
        head = self._straight.heads.of(data) if rests else None
        found = self._straight.again(head) if head is not None else None
        if found is None:
            self._came = data if rests else b""
            return super().data_received(data)
        self._unset_keepalive_if_required()
        plain = Plain(self, found)
        self.cycle = plain  # type: ignore[assignment]
        plain.body += data[-found.head.length :]
        plain.ask()
        return None

    def on_message_begin(self) -> None:
        """A request begins."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there: a plain one is kept here, every other one goes its way through the application."""
        found = None
        if self._straight is not None and self._rests() and self._may_be_plain():
            found = self._straight.prediction(self.url, self.headers)
        if found is None:
            super().on_headers_complete()
        else:
            self.cycle = Plain(self, found)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        if isinstance(self.cycle, Plain):
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of it."""
        self._between = True
        plain = self.cycle
        if not isinstance(plain, Plain):
            return super().on_message_complete()
        if self._straight is not None:
            self._straight.heads.add(self._came, plain.prediction.head)
        plain.ask()
        return None

    def _rests(self) -> bool:
        """Whether no answer is still to be given or written."""
        before = self.cycle
        return (before is None or before.response_complete) and not (self.pipeline or self.flow.write_paused)

    def _may_be_plain(self) -> bool:
        """Whether nothing is wanted of the connection beside the answer."""
        parser = self.parser
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not (parser.should_upgrade() or self.expect_100_continue)
        )


class Plain:
    """A plain prediction in the place in which uvicorn has what it knows of a request."""

    message_event = asyncio.Event()
    """Nobody waits for it: what is here whole is told by a call."""

    def __init__(self, connection: Connection, prediction: "Prediction") -> None:
        self._connection, self.prediction = connection, prediction
        self.body, self.keep_alive = bytearray(), True
        self.response_complete = self.disconnected = False

    def ask(self) -> None:
        """Have it answered: it is here whole."""
        try:
            self.prediction.ask(bytes(self.body), self)
        except Exception:
            LOG.exception("a prediction at %s goes through the application", self.prediction.head.place.path)
            self.hand_on()

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], content: bytes) -> bool:
        """Send the answer in one piece; False where whoever asked is gone."""
        self.response_complete = True
        if self.disconnected:
            return False
        connection = self._connection
        parts = [STATUS_LINE[status]]
        for name, value in (*connection.server_state.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", content) if self.keep_alive else (CLOSE, b"\r\n", content)
        connection.transport.write_whole(b"".join(parts))  # type: ignore[attr-defined]
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()
        return True

    def hand_on(self) -> None:
        """Let the application answer, as uvicorn has it do so."""
        connection = self._connection
        if self.disconnected or self.response_complete:
            return
        cycle = RequestResponseCycle(
            scope=self._scope(),
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=connection.access_log,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=self.keep_alive,
            on_response=connection.on_response_complete,
        )
        cycle.body, cycle.more_body = self.body, False
        cycle.message_event.set()
        if connection.cycle is self:
            connection.cycle = cycle
        connection._start_asgi_task(cycle, connection.app)

    def _scope(self) -> Any:
        connection, head = self._connection, self.prediction.head
        return {
            "type": "http",
            "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": connection.server,
            "client": connection.client,
            "scheme": connection.scheme,
            "root_path": connection.root_path,
            "headers": list(head.headers),
            "state": connection.app_state.copy(),
            "method": "POST",
            "path": head.place.path,
            "raw_path": head.place.path.encode(),
            "query_string": b"",
            TRIED: True,
        }
