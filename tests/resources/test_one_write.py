"""An answer's head waits for its body, so that both leave at once, and never for longer than a turn of the event loop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from resources.serving.one_write import Joining

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"true"


class Written(list):
    """Stands in for a transport: what was written, piece by piece, and the end."""

    write = list.append

    def close(self) -> None:
        self.append(b"closed")

    def get_extra_info(self, name: str) -> str:
        return name.upper()


def written_by(steps: Callable[[Joining], Awaitable[None]]) -> list[bytes]:
    found = Written()

    async def main() -> None:
        await steps(Joining(found, asyncio.get_running_loop()))

    asyncio.run(main())
    return found


def test_head_and_body_leave_in_one_piece():
    async def steps(transport: Joining) -> None:
        for _ in range(2):
            transport.write(HEAD)
            transport.write(BODY)
            await asyncio.sleep(0)

    assert written_by(steps) == [HEAD + BODY] * 2


def test_a_head_whose_body_takes_its_time_leaves_before_it():
    async def steps(transport: Joining) -> None:
        transport.write(HEAD)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.write(BODY)
        transport.write(BODY)

    assert written_by(steps) == [HEAD, BODY, BODY]


@pytest.mark.parametrize("pieces", [[HEAD], [HEAD, BODY], [BODY]])
def test_what_is_kept_leaves_before_the_end(pieces):
    async def steps(transport: Joining) -> None:
        for piece in pieces:
            transport.write(piece)
        transport.close()
        await asyncio.sleep(0)

    assert written_by(steps) == [b"".join(pieces), b"closed"]


def test_everything_else_is_the_transport_behind():
    async def steps(transport: Joining) -> None:
        assert transport.get_extra_info("peername") == "PEERNAME"

    assert written_by(steps) == []
