"""A shop lives for twenty days under the real daemon by a simulated wall clock, and nobody touches it; then it is off for days.

The sensors of a use case with `clock: wall` are on from the start. What is asserted at the end is read from the lake, the
runs and the audit log alone.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.ml.labels import TO_COME
from resources.clock import Clock
from resources.moments import read_moment
from tests.acceptance.commands import environment, python
from tests.acceptance.dagster_server import ENDED, Dagster, dagster_dev, wait
from tests.acceptance.live_shop import FIRST, Files, names, write_use_case
from tests.acceptance.state import end_state, lake_of, tracking_of
