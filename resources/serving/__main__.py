"""`python -m resources.serving`: the endpoint in the foreground."""

import sys

from resources.serving.ray_serve import main
from resources.told import in_words

if __name__ == "__main__":
    raise SystemExit(in_words(main, debug="--debug" in sys.argv[1:]))
