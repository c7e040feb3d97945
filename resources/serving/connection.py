"""A connection on which uvicorn speaks HTTP, and on which plain predictions are answered without a task and an application around them."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from resources.serving.http.lane import TRIED
from resources.serving.http.straight import written
from resources.serving.one_write import OneWrite

if TYPE_CHECKING:
    from resources.serving.http.straight import Head, Prediction, Straight

CLOSE = ((b"connection", b"close"),)


class Connection(OneWrite):
    """HTTP as uvicorn speaks it, over a transport that joins head and body; the application's state says what is plain."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        state = getattr(self.app, "state", None)
        as_it_is = not (self.access_log or self.root_path)
        self._straight: Straight | None = getattr(state, "straight", None) if as_it_is else None
        self._between, self._came = True, b""
        self._heard = 0.0
        """When a request was turned away last, by the event loop's clock."""

    def data_received(self, data: bytes) -> None:
        """Bytes come: a whole plain request whose head is known is answered without taking it apart, all else is parsed."""
        if self._straight is None:
            return super().data_received(data)
        rests = self._rests() and self._between
        head = self._straight.heads.of(data) if rests else None
        if head is not None:
            if self._turned_away(head):
                return None
            prediction = self._straight.again(head)
            if prediction is not None:
                return self._ask_plain(prediction, data[-head.length :])
        self._came = data if rests else b""
        return super().data_received(data)

    def _turned_away(self, head: "Head") -> bool:
        """Turn a request away, where that is what comes of it: nothing is made for it, and no timer set anew."""
        if self.timeout_keep_alive_task is None or self._straight is None:
            return False
        answer = self._straight.refusal(head, self.server_state.default_headers)
        if answer is None:
            return False
        self.server_state.total_requests += 1
        self._heard = self.loop.time()
        self.transport.write_whole(answer)  # type: ignore[attr-defined]
        return True

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was answered but by turning it away: close the connection, or wait longer where that was not long ago."""
        left = self._heard + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _ask_plain(self, prediction: "Prediction", body: bytes) -> None:
        self._unset_keepalive_if_required()
        plain = Plain(self, prediction)
        self.cycle = plain  # type: ignore[assignment]
        plain.body += body
        plain.ask()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there: a plain one is kept here, every other one goes its way through the application."""
        prediction = None
        if self._straight is not None and self._rests() and self._may_be_plain():
            prediction = self._straight.prediction(self.url, self.headers)
        if prediction is None:
            super().on_headers_complete()
        else:
            self.cycle = Plain(self, prediction)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        if isinstance(self.cycle, Plain) and not self.cycle.is_whole:
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of it."""
        self._between = True
        plain = self.cycle
        if not isinstance(plain, Plain) or plain.is_whole:
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
        parser: Any = self.parser
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
        self.is_whole = self.response_complete = self.disconnected = False

    def ask(self) -> None:
        """Have it answered: it is here whole."""
        self.is_whole = True
        self.prediction.ask(bytes(self.body), self)

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], content: bytes) -> bool:
        """Send the answer in one piece; False where whoever asked is gone, or the application answers."""
        if self.disconnected or self.response_complete:
            return False
        self.response_complete = True
        connection = self._connection
        ends = () if self.keep_alive else CLOSE
        all_headers = (*connection.server_state.default_headers, *headers, *ends)
        connection.transport.write_whole(written(status, all_headers, content))  # type: ignore[attr-defined]
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()
        return True

    def hand_on(self) -> None:
        """Let the application answer, as uvicorn has it do so."""
        connection = self._connection
        if self.disconnected or self.response_complete:
            return
        self.response_complete = True
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
        connection._start_asgi_task(cycle, connection.app)  # type: ignore[arg-type]

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
