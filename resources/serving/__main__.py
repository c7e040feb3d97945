"""`python -m resources.serving`: the endpoint in the foreground, in the way that MLOPS_SERVE_WITH says."""

import sys

from resources.command_errors import in_words
from resources.serving import process, ray_serve
from resources.settings import settings


def main() -> int:
    """Serve in one process, or on Ray."""
    return ray_serve.main() if settings().serve_with == "ray" else process.main()


if __name__ == "__main__":
    raise SystemExit(in_words(main, debug="--debug" in sys.argv[1:]))
