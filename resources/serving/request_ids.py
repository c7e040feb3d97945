"""Names of requests, under which answers stand in the serving log."""

import os


class RequestIds:
    """Names of requests, 16 random bytes each, of which the system is asked for many at once."""

    AT_ONCE = 256

    def __init__(self) -> None:
        self._names: list[str] = []

    def __call__(self) -> str:
        """A name that nobody has had; from any thread."""
        try:
            return self._names.pop()
        except IndexError:
            drawn = os.urandom(16 * self.AT_ONCE).hex()
            names = [drawn[place : place + 32] for place in range(0, len(drawn), 32)]
            self._names.extend(names[1:])
            return names[0]
