"""How far the data has come only grows, whoever writes it, and no record of a deployment has a part in it."""

import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from resources.features.pushed_moments import PushedMoments
from resources.serving.ray_serve import Endpoint
from resources.storage.moment_files import moment_in, move_forward

FIRST = datetime(2020, 1, 1, tzinfo=UTC)


def days(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def test_an_earlier_moment_changes_nothing(tmp_path):
    path = tmp_path / "new" / "moment.txt"
    assert moment_in(path) is None
    assert [move_forward(path, days(n)) for n in (3, 2, 3, 4)] == [True, False, False, True]
    assert moment_in(path) == days(4)


def test_of_many_writers_at_once_the_latest_moment_stays(tmp_path: Path):
    order = list(range(40))
    random.Random(0).shuffle(order)
    endpoints = [Endpoint(folder=str(tmp_path)) for _ in range(4)]
    pushed = [PushedMoments(tmp_path / "pushed") for _ in range(4)]

    def write(number: int) -> None:
        for at in order[number::4]:
            endpoints[number].advance(days(at))
            pushed[number].advance("weather", days(at))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert moment_in(tmp_path / "moment.txt") == days(39)
    pushed[0].look()
    assert pushed[0].newest(["weather"]) == days(39)


def test_advancing_touches_no_record(tmp_path):
    endpoint = Endpoint(folder=str(tmp_path))
    (tmp_path / "trips.json").write_text("anything")
    assert endpoint.advance(days(1)) and not endpoint.advance(days(1))
    assert (tmp_path / "trips.json").read_text() == "anything"
