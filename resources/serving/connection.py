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
        self._straight: Straight | None = getattr(state, "straight", None)

    def on_headers_complete(self) -> None:
        """A request begins: a plain one is kept here, every other one goes its way through the application."""
        found = None
        if self._straight is not None and self._may_be_plain():
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
        if isinstance(self.cycle, Plain):
            self.cycle.ask()
        else:
            super().on_message_complete()

    def _may_be_plain(self) -> bool:
        """Whether nothing is wanted of the connection beside the answer, and none before it is still to be given."""
        parser, before = self.parser, self.cycle
        return (
            (before is None or before.response_complete)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not (parser.should_upgrade() or self.expect_100_continue or self.pipeline)
            and not (self.flow.write_paused or self.access_log or self.root_path)
        )


class Plain:
    """A plain prediction in the place in which uvicorn has what it knows of a request."""

    message_event = asyncio.Event()
    """Nobody waits for it: what is here whole is told by a call."""

    def __init__(self, connection: Connection, prediction: "Prediction") -> None:
        self._connection, self._prediction, self._scope = connection, prediction, connection.scope
        self.body, self.keep_alive = bytearray(), True
        self.response_complete = self.disconnected = False

    def ask(self) -> None:
        """Have it answered: it is here whole."""
        try:
            self._prediction.ask(bytes(self.body), self)
        except Exception:
            LOG.exception("a prediction at %s goes through the application", self._prediction.path)
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
        connection, path = self._connection, self._prediction.path
        if self.disconnected or self.response_complete:
            return
        told = {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", TRIED: True}
        cycle = RequestResponseCycle(
            scope={**self._scope, **told},  # type: ignore[typeddict-item]
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
